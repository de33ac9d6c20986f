// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "custom-stage",
    dependencies: [
        // In your package: .package(url: "https://…/sluice", from: "0.1.0")
        .package(name: "Sluice", path: "../..")
    ],
    targets: [
        .target(name: "MinWords", dependencies: [.product(name: "SluiceCore", package: "Sluice")]),
        .executableTarget(
            name: "custom-sluice", dependencies: ["MinWords", .product(name: "SluiceCommand", package: "Sluice")]),
        .executableTarget(name: "ten-lines", dependencies: [.product(name: "SluiceKit", package: "Sluice")]),
        .testTarget(
            name: "MinWordsTests",
            dependencies: [
                "MinWords", .product(name: "SluiceCore", package: "Sluice"),
                .product(name: "SluiceTesting", package: "Sluice"),
            ]),
    ]
)
