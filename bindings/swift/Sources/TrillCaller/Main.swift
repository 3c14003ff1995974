import Trill
@main struct Main { static func main() async throws { let e = try Engine(); print(Library.version); await e.close() } }
