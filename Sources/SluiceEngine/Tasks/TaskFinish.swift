import SluiceCore
import SluiceIO

/// The last task: joins the outputs of all parts and says what the run found.
struct TaskFinish {
    let site: TaskSite

    private var run: RunContext { site.run }

    /// The findings, as the run in one process has them.
    func findings() throws -> RunFindings {
        var findings = RunFindings(run)
        try findings.addReadings(site)
        for file in site.parts.cutFiles { findings.files[file]?.hash = try site.files.result(of: .digest(file: file)) }
        try findings.judgeInput()
        findings.warn(of: run.readingTransforms())
        for outline in run.outline.rounds {
            guard let round = try site.round(outline.number) else { continue }
            try findings.add(try result(of: round, outline), of: round)
        }
        return findings
    }

    private func result(of round: Rounds.Round, _ outline: RunOutline.Round) throws -> RoundResult {
        var reached = 0
        var account = Account()
        for part in 0..<site.parts.count where outline.hasTransforms {
            let done: PartRound = try site.files.result(of: .transform(round: round.number, part: part))
            reached += done.reached
            account.add(done.account)
        }
        var result = RoundResult(reached: reached)
        result.account = account
        switch round.last?.body {
        case .survey?:
            result.learned = try RoundFiles(round.number, in: run).outcome()
        case .selection?: result.selection = try SelectionTasks(site, round.number).findings()
        default: break
        }
        return result
    }

    /// The task that writes the outputs of a part.
    private func last(_ part: Int) -> RunTask.Kind {
        run.outline.later.isEmpty ? .read(part: part) : .write(part: part)
    }

    private func facts(_ kind: RunTask.Kind) throws -> PartOutputs {
        if case .read = kind { return try site.files.result(of: kind, as: PartReading.self).outputs }
        return try site.files.result(of: kind)
    }

    /// Joins the outputs of all parts in a folder.
    func join(in folder: String) throws -> Outputs {
        let outputs = try Outputs(
            folder: folder, spec: run.definition.output, compressors: 1, Outputs.Extras(run),
            fileSystem: site.fileSystem)
        for part in 0..<site.parts.count {
            if run.isStopped() { throw EngineError.stopped }
            for stream in outputs.all {
                // Malformed lines are known once a part has been read.
                let kind = stream === outputs.quarantine ? RunTask.Kind.read(part: part) : last(part)
                guard let facts = try facts(kind).outputs[stream.name] else { throw TaskFiles.notDone(kind) }
                try stream.append(contentsOf: "\(site.files.outputs(kind))/\(stream.name)", facts)
            }
        }
        try VectorExport(run)?.join((0..<site.parts.count).map { site.files.outputs(last($0)) }, in: folder)
        try outputs.finish()
        return outputs
    }
}

extension RunFindings {
    /// Adds what all parts have read.
    @discardableResult mutating func addReadings(_ site: TaskSite) throws -> [PartReading] {
        var readings: [PartReading] = []
        var distinct = 0
        for part in 0..<site.parts.count {
            let reading: PartReading = try site.files.result(of: .read(part: part))
            account.add(reading.account)
            // The digest of a file that is read in ranges is taken by a task of its own.
            files.merge(reading.files) { FileFacts(hash: $0.hash, lines: $0.lines + $1.lines) }
            distinct += reading.distinct
            if fieldNames.isEmpty { fieldNames = reading.fieldNames }
            readings.append(reading)
        }
        noteDedupe(distinct: distinct)
        return readings
    }
}
