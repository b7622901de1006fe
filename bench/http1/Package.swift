// swift-tools-version: 6.2
// The HTTP/1.1 parser beside SwiftNIO's decoder: `bench/http1/run.sh`; figures in docs/decisions/003-http1-parser.md.
import PackageDescription

let package = Package(
  name: "http1-bench",
  dependencies: [
    .package(name: "millrace", path: "../.."),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
  ],
  targets: [
    .executableTarget(
      name: "HTTP1Bench",
      dependencies: [
        .product(name: "Gateway", package: "millrace"),
        .product(name: "NIOEmbedded", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
      ],
      swiftSettings: [
        .swiftLanguageMode(.v6), .treatAllWarnings(as: .error),
        .unsafeFlags(["-cross-module-optimization"], .when(configuration: .release)),
      ])
  ]
)
