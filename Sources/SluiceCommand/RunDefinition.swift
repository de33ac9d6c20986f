import SluiceCore
import SluiceEngine
import SluiceGeometry
import SluiceIO
import SluicePipeline

/// The definition of a finished run, read from its manifest.
enum RunDefinition {
    /// - Parameter budget: a `--memory` in it replaces the run's own budget.
    static func read(_ reader: RunReader, _ budget: RunMemoryOption) throws -> Definition {
        let timing = reader.manifest["timing"]
        let folder = timing?["folder"]?.textValue ?? "."
        do throws(DefinitionErrors) {
            return try DefinitionFile.parse(
                text: (reader.manifest["definition"] ?? .null).json, path: "\(folder)/\(RunReader.definitionName)",
                registry: Environment.registry, composition: .none,
                overrides: [
                    Override(["output", "directory"], reader.path, spelling: "output"),
                    Override(
                        ["memory"],
                        budget.memory ?? String(timing?["memory_budget"]?.integerValue ?? Definition.defaultMemory),
                        spelling: "--memory \(budget.memory ?? "")"),
                ])
        } catch {
            throw CommandFailure.usage("\(reader.path): the run's definition can no longer be read: \(error)")
        }
    }

    private static func stages(_ manifest: JSONValue) -> [JSONValue] {
        manifest["definition"]?["stages"]?.elements ?? []
    }

    /// The stages after the embedding one, with the options that decide the selection, such as
    /// `cluster, coreset medoids per cluster`.
    ///
    /// - Parameter embedding: the index of the stage that writes the vectors.
    static func choice(of manifest: JSONValue, after embedding: Int) -> String {
        stages(manifest).dropFirst(embedding + 1).flatMap(\.entries).map { entry in
            func word(_ option: String) -> String? { entry.value[option]?.textValue }
            let group = word("per").flatMap { $0 == "all" ? nil : "per \($0)" }
            let already = word("already").map { "already \(Printable.name($0))" }
            return [entry.key, word("method"), group, already].compactMap { $0 }.joined(separator: " ")
        }.joined(separator: ", ")
    }

    /// Vectors of records that were chosen before the run, from the files that stages name as `already`.
    ///
    /// - Throws: `CommandFailure` if a file is missing or its content has changed.
    static func earlier(_ definition: Definition, _ manifest: JSONValue) throws -> [Int8] {
        var vectors: [Int8] = []
        for spec in definition.stages {
            guard case .text(let path)? = spec.options["already"] else { continue }
            let known = (manifest["stage_files"]?.elements ?? []).filter { $0["option"]?.textValue == "already" }
            do {
                let digest = try FileSystem.local.digest(of: path).hash
                guard known.contains(where: { $0["content"]?.textValue == "xxh3-128:" + hexadecimal(digest) }) else {
                    throw CommandFailure.data(
                        "\(path), the `already` of stage `\(spec.name)`, has changed since the run")
                }
                let file = try VectorFile(path)
                vectors += try file.read()
            } catch let failure as CommandFailure {
                throw failure
            } catch {
                throw CommandFailure.data("\(error)")
            }
        }
        return vectors
    }

    /// A digest of the inputs, of the stages up to the embedding one, and of the models that these learned; runs with equal digests can be compared.
    static func poolDigest(of manifest: JSONValue, through embedding: Int) -> String {
        let deciding = stages(manifest).prefix(embedding + 1)
        let bytes = Array(
            JSONValue.list(
                (manifest["inputs"]?.elements ?? []) + [manifest["definition"]?["input"] ?? .null] + deciding
                    + (manifest["models"]?.elements ?? [])
            )
            .json.utf8)
        return "xxh3-128:" + bytes.withUnsafeBytes { hexadecimal(XXHash.hash128($0)) }
    }
}
