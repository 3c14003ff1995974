import Foundation
import Trill

/// A telephone in a terminal. It logs in, calls and is called, and shows levels and statistics while people talk.
///
/// Commands, one a line: call USER, video USER, group GROUP, accept, reject, busy, cancel, mute, unmute, h (hang up), log,
/// s (statistics), quit.
@main
struct Caller {
    static func main() async {
        let arguments = Array(CommandLine.arguments.dropFirst())
        guard arguments.count >= 2 else {
            giveUp("usage: trill-caller SERVER TOKEN [--wav FILE] [--y4m FILE] [--heard FILE.wav] [--devices]")
        }
        do {
            let engine = try Engine()
            let phone = Phone(engine: engine, settings: settings(arguments.dropFirst(2)))
            let events = engine.events
            let shown = Task { for await event in events { await phone.show(event) } }
            say("logged in as \(try await engine.login(server: arguments[0], token: arguments[1]).uid)")
            for await line in linesOfInput() where line != "" {
                if line == "quit" { break }
                await phone.obey(line)
            }
            await engine.close()
            await shown.value
        } catch {
            say("! \(error)")
            exit(1)
        }
    }

    private static func settings(_ options: ArraySlice<String>) -> SessionSettings {
        var settings = SessionSettings(audio: .tone(), video: .testPicture)
        // Of a size that a library built without optimisation draws, and sends in several sizes to a group.
        (settings.videoWidth, settings.videoHeight) = (640, 360)
        var left = options
        while let option = left.popFirst() {
            func file() -> String {
                guard let file = left.popFirst() else { giveUp("\(option): its file is missing") }
                return file
            }
            switch option {
            case "--wav": settings.audio = .file(path: file(), looped: true)
            case "--y4m":
                settings.video = .file(path: file(), looped: true)
                (settings.videoWidth, settings.videoHeight) = (0, 0)
            case "--heard": settings.audioOutputFile = file()
            case "--devices":
                (settings.audio, settings.video, settings.playback) = (.microphone(), .camera(), .speaker())
                (settings.videoWidth, settings.videoHeight) = (0, 0)
            default: giveUp("\(option): no such option")
            }
        }
        return settings
    }

    /// Blocking reads, on a thread of their own.
    private static func linesOfInput() -> AsyncStream<String> {
        let (lines, continuation) = AsyncStream<String>.makeStream()
        Thread.detachNewThread {
            while let line = readLine() { continuation.yield(line.trimmingCharacters(in: .whitespaces)) }
            continuation.finish()
        }
        return lines
    }

    private static func giveUp(_ why: String) -> Never {
        FileHandle.standardError.write(Data("\(why)\n".utf8))
        exit(2)
    }
}

/// Prints a line at once, also into a pipe.
func say(_ line: String) {
    FileHandle.standardOutput.write(Data("\(line)\n".utf8))
}
