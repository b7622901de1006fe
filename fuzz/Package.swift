// swift-tools-version: 6.2
// Coverage-guided fuzzing with LLVM's libFuzzer: a package of its own, built and run by run.sh.
import PackageDescription

let package = Package(
  name: "millrace-fuzz",
  dependencies: [
    .package(name: "millrace", path: ".."),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
  ],
  targets: [
    .target(name: "CFuzzer", linkerSettings: [.linkedLibrary("jansson")]),
    .executableTarget(
      name: "Fuzz",
      dependencies: [
        "CFuzzer", .product(name: "Gateway", package: "millrace"),
        .product(name: "Membership", package: "millrace"),
        .product(name: "Wire", package: "millrace"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOEmbedded", package: "swift-nio"),
      ],
      swiftSettings: [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]),
  ]
)
