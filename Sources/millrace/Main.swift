import Gateway
@main struct Main { static func main() {} }
