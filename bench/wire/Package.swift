// swift-tools-version: 6.2
// What hot paths of Wire and of packets between members cost on this machine:
// `swift run -c release --package-path bench/wire`.
import PackageDescription

let package = Package(
  name: "wire-bench",
  dependencies: [.package(name: "millrace", path: "../..")],
  targets: [
    .executableTarget(
      name: "WireBench",
      dependencies: [
        .product(name: "Membership", package: "millrace"),
        .product(name: "Wire", package: "millrace"),
      ],
      swiftSettings: [.unsafeFlags(["-cross-module-optimization"])])
  ]
)
