package import SluiceCore

extension MemoryShares {
    /// An amount of memory and its purpose.
    package struct Part: Sendable, Hashable {
        package let name: String
        package let bytes: Int
    }

    /// The needs that a stage declares before anything is read.
    package struct Need: Sendable {
        package enum Kind: Sendable {
            case transform(TransformMemory)
            case asking(Requests)
            case survey(SurveyMemory)
            /// The least memory for a group, in bytes.
            case selection(Int)
        }

        package let stage: String
        package let kind: Kind
        /// Memory held from the beginning of the run to its end.
        package let resident: Int
        /// What the longest record takes in the pass over kept columns that does the work.
        package let longestRow: Int

        package init(stage: String, kind: Kind, resident: Int = 0, longestRow: Int = 0) {
            self.stage = stage
            self.kind = kind
            self.resident = resident
            self.longestRow = longestRow
        }

        /// Its minimum, without its workers.
        var least: Int {
            switch kind {
            case .transform, .asking: 0
            case .survey(let memory): memory.least
            case .selection(let bytes): bytes
            }
        }

        /// Memory of one of its workers.
        var perThread: Int { if case .transform(let memory) = kind { memory.perThread } else { 0 } }
        /// Memory of its requests in flight.
        var requests: Requests { if case .asking(let requests) = kind { requests } else { Requests() } }
        /// Memory held by its result for later work.
        var leaves: Int { if case .survey(let memory) = kind { memory.leaves } else { 0 } }
    }

    /// The minimum of a pass.
    struct Load {
        /// The stage whose pass it is; nil for reading.
        let need: Need?
        /// The minimum of the stage itself.
        let own: Int
        /// `own` and the minimum of any such pass.
        let bytes: Int
    }
}

extension MemoryShares.Need {
    var isTransform: Bool { if case .transform = kind { true } else { false } }
}
