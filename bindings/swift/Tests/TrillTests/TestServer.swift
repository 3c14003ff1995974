import Foundation

/// `trill serve --dev` on loopback, on ports of the system's choosing.
final class TestServer: @unchecked Sendable {
    let url: String
    private let process = Process()
    private let folder: URL

    /// What `cargo build` made, or what TESTED_TRILL names.
    private static let command = URL(
        fileURLWithPath: ProcessInfo.processInfo.environment["TESTED_TRILL"]
            ?? #filePath.split(separator: "/").dropLast(5).reduce("") { "\($0)/\($1)" } + "/target/debug/trill")

    init() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let output = Pipe()
        process.executableURL = Self.command
        process.arguments = [
            "serve", "--dev", "--json", "--http", "127.0.0.1:0", "--udp", "127.0.0.1:0",
            "--database", folder.appendingPathComponent("calls.db").path,
        ]
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        var line = Data()
        while true {
            let byte = output.fileHandleForReading.readData(ofLength: 1)
            if byte.isEmpty || byte == Data("\n".utf8) { break }
            line += byte
        }
        let listening = try JSONSerialization.jsonObject(with: line) as? [String: Any]
        url = "http://\(listening?["http"] as? String ?? "")"
    }

    deinit { stop() }

    /// At once, as a crash does. Foundation's own wait for a process wants a run loop, which a test's thread has not got.
    func stop() {
        kill(process.processIdentifier, SIGKILL)
        try? FileManager.default.removeItem(at: folder)
    }

    func token(_ uid: String) throws -> String { try Self.mint("user", uid) }

    func sessionToken(_ room: String, _ identity: String) throws -> String { try Self.mint("session", room, identity) }

    private static func mint(_ what: String...) throws -> String {
        let process = Process()
        let output = Pipe()
        process.executableURL = command
        process.arguments = ["token"] + what + ["--dev"]
        process.standardOutput = output
        try process.run()
        let text = output.fileHandleForReading.readDataToEndOfFile()
        return String(decoding: text, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
