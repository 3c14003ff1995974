import CTrill
import Foundation

/// The library as a whole.
public enum Library {
    public typealias LogSink = @Sendable (_ level: LogLevel, _ target: String, _ message: String) -> Void

    /// Such as "0.1.0".
    public static var version: String { String(cString: trill_version()) }

    /// The machine's devices of a kind, as they are now. It asks the system, which can take a second: not for the main actor.
    public static func devices(_ kind: DeviceKind) throws -> [Device] {
        var list: UnsafeMutablePointer<trill_devices>?
        try checked { trill_devices_list(kind.rawValue, &list, &$0) }
        defer { trill_devices_free(list) }
        return list.map { array($0.pointee.devices, $0.pointee.device_count).map { Device(raw: $0) } } ?? []
    }

    /// What a device can: the one of that name or id, or the default one. It is opened for that, which can take a second: not for
    /// the main actor.
    public static func deviceFormats(_ kind: DeviceKind, name: String? = nil) throws -> DeviceFormats {
        var formats: UnsafeMutablePointer<trill_device_formats>?
        try checked { trill_device_formats_read(kind.rawValue, name, &formats, &$0) }
        defer { trill_device_formats_free(formats) }
        return DeviceFormats(raw: formats!.pointee)
    }

    /// Reads who calls out of a push's payload, without a network: for systems that want it shown at once.
    public static func readWake(_ payload: Data) throws -> Wake {
        var wake: UnsafeMutablePointer<trill_wake>?
        try payload.withUnsafeBytes { bytes in
            let first = bytes.bindMemory(to: UInt8.self).baseAddress
            try checked { trill_wake_read(first, bytes.count, &wake, &$0) }
        }
        defer { trill_wake_free(wake) }
        return Wake(raw: wake!.pointee)
    }

    /// Sends the library's log to a function, from the given level on, or nowhere; without this nothing is logged. A later call
    /// replaces the earlier one. The function runs on any thread, on several at a time, and must neither block nor call the
    /// library.
    public static func log(_ level: LogLevel, to sink: LogSink?) throws {
        try current.set(level, sink)
    }

    private static let current = CurrentSink()
}

/// The function that the library logs to; what it replaces is let go only when the library does not use it any more.
private final class CurrentSink: @unchecked Sendable {
    private final class Box {
        let sink: Library.LogSink

        init(_ sink: @escaping Library.LogSink) { self.sink = sink }
    }

    /// Guards the box.
    private let lock = NSLock()
    private var box: Box?

    func set(_ level: LogLevel, _ sink: Library.LogSink?) throws {
        try lock.withLock {
            let next = sink.map(Box.init)
            let userData = next.map { Unmanaged.passUnretained($0).toOpaque() }
            let function: trill_log_function? = next == nil ? nil : { userData, level, target, message in
                let box = Unmanaged<Box>.fromOpaque(userData!).takeUnretainedValue()
                box.sink(LogLevel(code: level), textOrEmpty(target), textOrEmpty(message))
            }
            try checked { trill_log_set(level.rawValue, function, userData, &$0) }
            box = next
        }
    }
}
