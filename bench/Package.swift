// swift-tools-version: 6.2
// The load programs: a package of their own, so that the product never depends on them nor they on it.
import PackageDescription

let package = Package(
  name: "millrace-bench",
  targets: [
    .systemLibrary(name: "CLinux"),
    .executableTarget(
      name: "load",
      dependencies: ["CLinux"],
      swiftSettings: [
        .swiftLanguageMode(.v6),
        .treatAllWarnings(as: .error),
        .unsafeFlags(["-Ounchecked"], .when(configuration: .release)),
      ]),
  ]
)
