// swift-tools-version: 6.2
// Coverage-guided fuzzing with LLVM's libFuzzer: a package of its own, built and run by run.sh.
import PackageDescription

let package = Package(
  name: "millrace-fuzz",
  dependencies: [.package(name: "millrace", path: "..")],
  targets: [
    .target(name: "CFuzzer", linkerSettings: [.linkedLibrary("jansson")]),
    .executableTarget(
      name: "Fuzz",
      dependencies: ["CFuzzer", .product(name: "Wire", package: "millrace")],
      swiftSettings: [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]),
  ]
)
