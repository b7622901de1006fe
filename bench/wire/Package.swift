// swift-tools-version: 6.2
// What Wire's hot paths cost on this machine: `swift run -c release --package-path bench/wire`.
import PackageDescription

let package = Package(
  name: "wire-bench",
  dependencies: [.package(name: "millrace", path: "../..")],
  targets: [
    .executableTarget(
      name: "WireBench",
      dependencies: [.product(name: "Wire", package: "millrace")],
      swiftSettings: [.unsafeFlags(["-cross-module-optimization"])])
  ]
)
