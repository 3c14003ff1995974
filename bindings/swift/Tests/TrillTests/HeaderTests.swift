import CTrill
import Foundation
import Testing

@testable import Trill

/// The binding says what the header says. Structs and functions are the header's own, since the compiler reads it; numbers
/// are told again in Swift. What the header got, and these tests miss, is to be added to the binding.
@Suite struct HeaderTests {
    /// Each number of the header's, by its name without TRILL_.
    private let numbers: [String: Int32]

    init() throws {
        let path = #filePath.split(separator: "/").dropLast(5).reduce("") { "\($0)/\($1)" } + "/include/trill.h"
        let header = try String(contentsOfFile: path, encoding: .utf8)
        var numbers: [String: Int32] = [:]
        for line in header.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 3, words[0] == "#define", words[1].hasPrefix("TRILL_") else { continue }
            numbers[String(words[1].dropFirst(6))] = Int32(words[2].trimmingCharacters(in: CharacterSet(charactersIn: "()")))
        }
        self.numbers = numbers
    }

    @Test func eachStatusHasItsNumber() {
        var theirs = numbers.filter { $0.key.hasPrefix("STATUS_") }
        theirs["STATUS_OK"] = nil
        expectSame(theirs, named("STATUS", Status.self, except: .unrecognized))
    }

    @Test func eachEnumHasTheNumbersOfTheHeader() {
        let ours = [
            coded("CALL_TYPE", CallType.self), coded("RECEIVER_TYPE", ReceiverType.self), coded("CATEGORY", Category.self),
            coded("CALL_STATUS", CallStatus.self), coded("END_REASON", EndReason.self),
            coded("PARTY_STATE", PartyState.self), coded("REJECT", RejectReason.self), coded("DIRECTION", Direction.self),
            coded("TRACK_KIND", TrackKind.self), coded("SOURCE", Source.self), coded("QUALITY", Quality.self),
            coded("SESSION_END", SessionEnd.self), coded("LOG", LogLevel.self), coded("EVENT", EventKind.self),
            coded("PUSH_OUTCOME", PushOutcome.self), coded("DEVICE_KIND", DeviceKind.self),
            coded("DEVICE_STATE", DeviceState.self), coded("DEVICE_POLICY", DevicePolicy.self),
            coded("SIMULCAST", Simulcast.self),
            coded("AUDIO_SOURCE", AudioSourceKind.self), coded("VIDEO_SOURCE", VideoSourceKind.self),
        ].reduce(into: [:]) { $0.merge($1) { first, _ in first } }
        // Those of the voice are the header's own.
        var theirs = numbers.filter { !$0.key.hasPrefix("STATUS_") && !$0.key.hasPrefix("VOICE_") }
        #expect(theirs.removeValue(forKey: "ABI_VERSION") == Int32(trill_abi_version()))
        expectSame(theirs, ours)
    }

    @Test func silenceIsLeftOutOnlyWhenTheSettingsAskForIt() {
        var settings = SessionSettings()
        #expect(settings.withRaw { $0.pointee.audio_dtx } == 0)
        settings.audioDTX = true
        #expect(settings.withRaw { $0.pointee.audio_dtx } == 1)
    }

    private func expectSame(_ theirs: [String: Int32], _ ours: [String: Int32]) {
        #expect(!theirs.isEmpty)
        let names = Set(theirs.keys).union(ours.keys)
        let different = names.filter { theirs[$0] != ours[$0] }.sorted()
        #expect(different.isEmpty, "not the same in the header and here")
    }

    private func coded<E: Coded>(_ prefix: String, _ type: E.Type) -> [String: Int32] {
        named(prefix, type, except: .unrecognized)
    }

    /// hungUp of END_REASON is END_REASON_HUNG_UP.
    private func named<E: RawRepresentable<Int32> & CaseIterable>(
        _ prefix: String, _ type: E.Type, except unrecognized: E
    ) -> [String: Int32] {
        type.allCases.filter { $0.rawValue != unrecognized.rawValue }.reduce(into: [:]) { numbers, value in
            let name = "\(value)".map { $0.isUppercase ? "_\($0)" : $0.uppercased() }.joined()
            numbers["\(prefix)_\(name)"] = value.rawValue
        }
    }
}
