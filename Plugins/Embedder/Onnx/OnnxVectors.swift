package import SluiceCore

/// The vectors of texts outside of a run, in single precision: for tests and comparisons.
package struct OnnxVectors: Sendable {
    private let plan: OnnxPlan
    private let model: OnnxModel

    /// The model and the options of a stage `embed: {model: onnx}`.
    package init(options: OptionValues) throws(StageError) {
        plan = try OnnxPlan(options: options)
        model = try plan.model()
    }

    package var dimension: Int { plan.dimension }
    /// Whether texts go through the model together.
    package var rowsAreIndependent: Bool { plan.settings.trial.rowsAreIndependent }

    /// The vectors, not of unit length; nil for a text without a token.
    package func embed(_ texts: [String]) throws(StageError) -> [[Float]?] {
        let encoder = OnnxEncoder(model, plan.settings)
        var found = [[Float]?](repeating: nil, count: texts.count)
        var waiting: [Int] = []
        do throws(OnnxFault) {
            for (index, text) in texts.enumerated() {
                let bytes = Array(text.utf8)
                let added = bytes.withUnsafeBytes { bytes in
                    Result { () throws(OnnxFault) in try encoder.add(bytes) }
                }
                if try added.get() { waiting.append(index) }
            }
            try encoder.finish { text, vector in found[waiting[text]] = vector.map { Float($0) } }
        } catch { throw model.failed(error) }
        return found
    }
}
