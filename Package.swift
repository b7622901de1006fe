// swift-tools-version: 6.2
// Millrace: durable, partitioned event streams that need nothing but HTTP. docs/architecture.md describes the rooms.
import PackageDescription

let house: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .treatAllWarnings(as: .error),
]

/// Hot paths cross module borders (Wire's scanners run inside Gateway's handlers), so release builds may inline across
/// them.
let hot: [SwiftSetting] =
  house + [.unsafeFlags(["-cross-module-optimization"], .when(configuration: .release))]

let package = Package(
  name: "millrace",
  products: [
    .executable(name: "millrace", targets: ["millrace"]),
    // For the packages under fuzz/ and bench/.
    .library(name: "Wire", targets: ["Wire"]),
    .library(name: "Membership", targets: ["Membership"]),
    .library(name: "Gateway", targets: ["Gateway"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
  ],
  targets: [
    .systemLibrary(
      name: "CNghttp2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
    .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CJansson", pkgConfig: "jansson", providers: [.apt(["libjansson-dev"])]),
    .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .systemLibrary(
      name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CPlatform"),
    .target(
      name: "Wire",
      dependencies: [
        "CJansson", "COpenSSL", "CZlib", "CPlatform",
        .product(name: "NIOCore", package: "swift-nio"),
      ],
      swiftSettings: hot),
    .target(
      name: "Engine",
      dependencies: [
        "Wire", "CSQLite", "CPlatform", .product(name: "NIOCore", package: "swift-nio"),
      ],
      swiftSettings: hot),
    .target(
      name: "Membership",
      dependencies: [
        "Wire",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: hot),
    .target(
      name: "Gateway",
      dependencies: [
        "Wire", "Engine", "CNghttp2", "COpenSSL", "CCurl", "CPlatform",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "Logging", package: "swift-log"),
      ],
      resources: [.embedInCode("Console/tail.html")],
      swiftSettings: hot),
    .executableTarget(
      name: "millrace",
      dependencies: [
        "Wire", "Membership", "Engine", "Gateway", "CPlatform",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
      ],
      swiftSettings: hot),
    .testTarget(
      name: "WireTests",
      dependencies: ["Wire", .product(name: "NIOCore", package: "swift-nio")],
      exclude: ["Golden"], swiftSettings: house),
    .testTarget(
      name: "MembershipTests",
      dependencies: [
        "Membership", "Wire", .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "Logging", package: "swift-log"),
      ],
      exclude: ["Golden"], swiftSettings: house),
    .testTarget(name: "EngineTests", dependencies: ["Engine"], swiftSettings: house),
    // The simulator is a library, so that tests and `make sim` play the same seeds.
    .target(
      name: "Simulator",
      dependencies: ["Engine", "Wire", .product(name: "NIOCore", package: "swift-nio")],
      path: "Tests/Simulator", swiftSettings: house),
    .executableTarget(
      name: "millrace-sim", dependencies: ["Simulator", "Engine"], path: "Tests/SimulatorCommand",
      swiftSettings: house),
    .testTarget(name: "SimulationTests", dependencies: ["Simulator"], swiftSettings: house),
    // The membership's own, with the other's trace.
    .target(
      name: "MembershipSimulator",
      dependencies: [
        "Membership", "Simulator", "Wire", .product(name: "NIOCore", package: "swift-nio"),
      ],
      path: "Tests/MembershipSimulator", swiftSettings: house),
    .executableTarget(
      name: "millrace-member-sim", dependencies: ["MembershipSimulator", "Simulator", "Wire"],
      path: "Tests/MembershipSimulatorCommand", swiftSettings: house),
    .testTarget(
      name: "MembershipSimulationTests", dependencies: ["MembershipSimulator", "Simulator"],
      swiftSettings: house),
    .testTarget(
      name: "GatewayTests",
      dependencies: [
        "Engine", "Gateway", "Wire", .product(name: "NIOEmbedded", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
      ],
      swiftSettings: house),
    .testTarget(
      name: "CommandTests",
      dependencies: [
        "millrace", "Membership", "Wire", .product(name: "NIOPosix", package: "swift-nio"),
      ],
      swiftSettings: house),
  ]
)
