// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "custom-stage",
    dependencies: [
        // The folder of Sluice; or, by a version: .package(url: "https://…/sluice", from: "0.1.0")
        .package(name: "Sluice", path: "../..")
    ],
    targets: [
        .target(name: "Stages", dependencies: [.product(name: "SluiceCore", package: "Sluice")]),
        .executableTarget(
            name: "custom-sluice", dependencies: ["Stages", .product(name: "SluiceCommand", package: "Sluice")]),
        .executableTarget(name: "ten-lines", dependencies: [.product(name: "SluiceKit", package: "Sluice")]),
        .testTarget(
            name: "StagesTests", dependencies: ["Stages", .product(name: "SluiceTesting", package: "Sluice")]),
    ]
)
