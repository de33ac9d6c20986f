// swift-tools-version: 6.2
import PackageDescription

// Ordinary targets under Plugins/ need an explicit `path:`, since SwiftPM keeps that folder for build-tool plugins.
func plugin(_ name: String, dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: ["SluiceCore"] + dependencies, path: "Plugins/\(name)")
}

let plugins: [Target.Dependency] = [
    "Formatter", "Embedder", "Clusterer", "CoresetSelector", "RedundancyFilter", "TextFilters", "RecordFilters",
    "BudgetSelectors", "External",
]

let package = Package(
    name: "Sluice",
    products: [
        .executable(name: "sluice", targets: ["sluice"]),
        .library(name: "SluiceCore", targets: ["SluiceCore"]),
        .library(name: "SluiceGeometry", targets: ["SluiceGeometry"]),
        .library(name: "SluiceTokenizer", targets: ["SluiceTokenizer"]),
        .library(name: "SluiceHTTP", targets: ["SluiceHTTP"]),
        .library(name: "SluiceS3", targets: ["SluiceS3"]),
        .library(name: "SluicePipeline", targets: ["SluicePipeline"]),
        .library(name: "SluiceTesting", targets: ["SluiceTesting"]),
        .library(name: "SluiceText", targets: ["SluiceText"]),
        .library(name: "SluiceBudgets", targets: ["SluiceBudgets"]),
        .library(name: "CPattern", targets: ["CPattern"]),
        .library(name: "SluiceEngine", targets: ["SluiceEngine"]),
        .library(name: "SluiceKit", targets: ["SluiceKit"]),
        .library(name: "SluiceCommand", targets: ["SluiceCommand"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0")
    ],
    targets: [
        // C: thin modules over Debian packages, and the one place with vector kernels.
        .target(name: "CVectorKernels"),
        .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CXXHash", providers: [.apt(["libxxhash-dev"])]),
        .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
        .target(name: "CYAML", linkerSettings: [.linkedLibrary(":libyaml.a")]),
        .target(name: "CMalloc"),
        .target(name: "CPattern", linkerSettings: [.linkedLibrary(":libpcre2-8.a")]),
        .systemLibrary(name: "CFlush"),
        .target(name: "CProcess"),
        .target(name: "CLanguageModel", exclude: ["model.zst", "LICENSE"]),
        .target(name: "CCurl", linkerSettings: [.linkedLibrary("dl")]),
        .target(name: "CSimdJSON", linkerSettings: [.linkedLibrary("simdjson"), .linkedLibrary("stdc++")]),

        .target(name: "SluiceCore"),
        .target(name: "SluiceGeometry", dependencies: ["SluiceCore", "CVectorKernels"]),
        .target(name: "SluiceText"),
        .target(name: "SluiceTokenizer"),
        .target(name: "SluiceHTTP", dependencies: ["CCurl"]),
        .target(name: "SluiceS3", dependencies: ["SluiceHTTP", "SluiceIO"]),
        .target(name: "SluiceBudgets", dependencies: ["SluiceCore"]),
        .target(name: "SluiceIO", dependencies: ["SluiceCore", "CFlush", "CZstd", "CXXHash", "CZlib", "CSimdJSON"]),
        .target(name: "SluiceEngine", dependencies: ["SluiceCore", "SluiceIO", "CMalloc"]),
        .target(name: "SluicePipeline", dependencies: ["SluiceCore", "CYAML"]),
        .target(name: "SluiceTesting", dependencies: ["SluiceCore", "SluiceIO"]),

        plugin("Formatter"),
        plugin("Embedder", dependencies: ["SluiceGeometry", "SluiceText", "SluiceTokenizer", "SluiceHTTP"]),
        plugin("Clusterer", dependencies: ["SluiceGeometry"]),
        plugin("CoresetSelector", dependencies: ["SluiceBudgets", "SluiceGeometry"]),
        plugin("RedundancyFilter", dependencies: ["SluiceGeometry", "SluiceText"]),
        plugin("TextFilters", dependencies: ["SluiceTokenizer", "CLanguageModel", "CZstd"]),
        plugin("BudgetSelectors", dependencies: ["SluiceBudgets"]),
        plugin("RecordFilters", dependencies: ["CPattern"]),
        plugin("External", dependencies: ["CProcess", "SluiceGeometry"]),

        .target(
            name: "SluiceKit",
            dependencies: ["SluiceCore", "SluiceIO", "SluiceEngine", "SluicePipeline", "SluiceS3"] + plugins),
        .target(
            name: "SluiceCommand",
            dependencies: [
                "SluiceCore", "SluiceGeometry", "SluiceIO", "SluiceEngine", "SluicePipeline", "SluiceKit",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .executableTarget(name: "sluice", dependencies: ["SluiceCommand"]),

        .testTarget(name: "SluiceCoreTests", dependencies: ["SluiceCore"]),
        .testTarget(name: "SluiceGeometryTests", dependencies: ["SluiceGeometry"]),
        .testTarget(name: "SluiceIOTests", dependencies: ["SluiceIO"]),
        .testTarget(name: "SluiceEngineTests", dependencies: ["SluiceEngine", "SluiceTesting"]),
        .testTarget(name: "SluicePipelineTests", dependencies: ["SluicePipeline"] + plugins),
        .target(name: "FaultServer", path: "Tests/FaultServer", exclude: ["server.py"]),
        .testTarget(name: "SluiceHTTPTests", dependencies: ["SluiceCore", "SluiceHTTP", "FaultServer"]),
        .testTarget(name: "SluiceS3Tests", dependencies: ["SluiceS3", "SluiceHTTP", "SluiceIO"]),
        .testTarget(name: "SluiceTokenizerTests", dependencies: ["SluiceTokenizer", "SluiceCore"]),
        .testTarget(
            name: "PluginTests",
            dependencies: [
                "SluiceTesting", "SluiceBudgets", "SluiceGeometry", "SluiceTokenizer", "SluiceHTTP", "FaultServer",
            ] + plugins,
            exclude: ["Golden"]),
        .testTarget(
            name: "FaultTests",
            dependencies: [
                "SluiceTesting", "SluiceEngine", "SluiceIO", "SluiceCore", "SluicePipeline", "SluiceKit", "sluice",
            ]),
        .testTarget(
            name: "CompareTests", dependencies: ["SluiceCommand", "SluiceKit", "SluiceEngine", "SluicePipeline"]),
        .testTarget(
            name: "CommandTests", dependencies: ["SluiceCore", "SluiceIO", "SluiceKit", "FaultServer", "sluice"]),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)

// Programs that are no part of the package: `make fuzz` and `make bench` build them, with the flags that they need.
if Context.environment["SLUICE_EXTRAS"] != nil {
    package.targets += [
        .executableTarget(
            name: "fuzz",
            dependencies: [
                "SluiceCore", "SluiceIO", "SluiceEngine", "SluiceGeometry", "SluicePipeline", "SluiceTesting",
                "SluiceTokenizer",
            ] + plugins,
            path: "Fuzz/Sources"),
        .executableTarget(
            name: "geometry-bench", dependencies: ["SluiceCore", "SluiceGeometry"], path: "Benchmarks/geometry"),
    ]
}

for target in package.targets where [.regular, .executable, .test].contains(target.type) {
    target.swiftSettings =
        (target.swiftSettings ?? []) + [
            .enableUpcomingFeature("ExistentialAny"),  // SE-0335
            .enableUpcomingFeature("MemberImportVisibility"),  // SE-0444
            .enableUpcomingFeature("InternalImportsByDefault"),  // SE-0409
        ]
    // `make test` and CI refuse warnings; a user's newer compiler may have new ones.
    if Context.environment["SLUICE_WARNINGS"] != "allow" { target.swiftSettings?.append(.treatAllWarnings(as: .error)) }
}
