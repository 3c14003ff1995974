// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "trill",
    platforms: [.macOS(.v13), .iOS(.v16)],
    products: [
        .library(name: "Trill", targets: ["Trill"]),
        .executable(name: "trill-caller", targets: ["TrillCaller"]),
    ],
    targets: [
        // The header and the library of `scripts/install`.
        .systemLibrary(name: "CTrill", pkgConfig: "trill"),
        .target(name: "Trill", dependencies: ["CTrill"]),
        .executableTarget(name: "TrillCaller", dependencies: ["Trill"]),
        .testTarget(name: "TrillTests", dependencies: ["Trill", "CTrill"]),
    ]
)
