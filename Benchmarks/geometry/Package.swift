// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "geometry-bench",
    dependencies: [.package(name: "Sluice", path: "../..")],
    targets: [
        .executableTarget(
            name: "geometry-bench",
            dependencies: [
                .product(name: "SluiceCore", package: "Sluice"), .product(name: "SluiceGeometry", package: "Sluice"),
            ])
    ],
    swiftLanguageModes: [.v6]
)
