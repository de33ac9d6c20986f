import Clusterer
import CoresetSelector
import Embedder
import Formatter
import RedundancyFilter
import SluiceCore
import SluicePipeline

private let registry = Registry([
    FormatStage.self, EmbedStage.self, ClusterStage.self, CoresetStage.self, RedundancyStage.self,
])

/// A definition, and after a zero byte the `--set` arguments: never a crash, and every problem has a place.
func fuzzDefinition(_ input: UnsafeRawBufferPointer) {
    let parts = input.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
    let text = String(decoding: parts.first ?? input[..<0], as: UTF8.self)
    var overrides: [Override] = []
    if parts.count > 1 {
        for line in parts[1].split(separator: 0x0A).prefix(4) {
            do throws(Problem) { overrides.append(try Override(String(decoding: line, as: UTF8.self))) } catch {}
        }
    }
    do throws(DefinitionErrors) {
        _ = try DefinitionFile.parse(text: text, path: "run.yaml", registry: registry, overrides: overrides)
    } catch {
        check(!error.problems.isEmpty, "refused for no reason")
        for problem in error.problems {
            check(!problem.message.isEmpty, "a problem without words")
            check(problem.place != nil || !overrides.isEmpty, "no place: \(problem.message)")
        }
    }
}
