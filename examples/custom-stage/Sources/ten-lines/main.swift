import SluiceKit

let demo = InputSpec(files: ["../data/demo-*.jsonl.zst"], dedupe: .line)
let result = try Pipeline(seed: 42, input: demo, output: OutputSpec(directory: "ten-lines-out")) {
    Format(template: "{prompt}\n\n{completion}")
    Embed(dimensions: 384)
    Cluster(clusters: 16)
    Coreset(keep: .percent(5), per: "cluster")
}.run()
print("kept \(result.kept) of \(result.read) records")
