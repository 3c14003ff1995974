/// One I420 picture: 8-bit planes Y, U, V without gaps; U and V have half the width and height, rounded up.
public struct VideoFrame: Sendable, Equatable {
    /// In pixels, 1 to 8192.
    public let width: Int
    public let height: Int
    public var y: [UInt8]
    public var u: [UInt8]
    public var v: [UInt8]
    /// How to turn it before it is shown, clockwise: 0, 90, 180 or 270.
    public var rotation: Int
    /// On the track's own clock; grows from one picture to the next.
    public var timestamp: Duration

    /// A black picture, to be painted and pushed.
    public init(width: Int, height: Int, rotation: Int = 0, timestamp: Duration = .zero) {
        precondition(width > 0 && height > 0, "a picture has a width and a height")
        let chroma = ((width + 1) / 2) * ((height + 1) / 2)
        self.width = width
        self.height = height
        y = [UInt8](repeating: 0, count: width * height)
        u = [UInt8](repeating: 128, count: chroma)
        v = [UInt8](repeating: 128, count: chroma)
        self.rotation = rotation
        self.timestamp = timestamp
    }
}

/// An I420 picture in memory of somebody else's: of the library's, for a handler, or of the app's, to be pushed. It is
/// neither copied nor kept: `copy()` it to keep it.
public struct VideoFrameView: ~Copyable {
    /// 8-bit samples, row by row.
    public struct Plane {
        public let bytes: UnsafeBufferPointer<UInt8>
        /// Bytes from one row to the next.
        public let stride: Int

        public init(bytes: UnsafeBufferPointer<UInt8>, stride: Int) {
            self.bytes = bytes
            self.stride = stride
        }
    }

    /// In pixels, 1 to 8192.
    public let width: Int
    public let height: Int
    public let y: Plane
    /// Half the width and height, rounded up; v as well.
    public let u: Plane
    public let v: Plane
    /// How to turn it before it is shown, clockwise: 0, 90, 180 or 270.
    public let rotation: Int
    /// On the track's own clock; grows from one picture to the next.
    public let timestamp: Duration

    /// The planes stay valid while this is used. A plane that is too small for the picture is a programming error, and ends
    /// the program.
    public init(width: Int, height: Int, y: Plane, u: Plane, v: Plane, rotation: Int = 0, timestamp: Duration = .zero) {
        precondition((1...8192).contains(width) && (1...8192).contains(height), "a picture of \(width) x \(height)")
        for (plane, width, height) in [(y, width, height), (u, (width + 1) / 2, (height + 1) / 2), (v, (width + 1) / 2, (height + 1) / 2)] {
            precondition(plane.stride >= width, "a row of \(width) samples in a stride of \(plane.stride)")
            precondition(plane.bytes.count >= plane.stride * (height - 1) + width, "a plane is too small")
        }
        self.width = width
        self.height = height
        self.y = y
        self.u = u
        self.v = v
        self.rotation = rotation
        self.timestamp = timestamp
    }

    public borrowing func copy() -> VideoFrame {
        var frame = VideoFrame(width: width, height: height, rotation: rotation, timestamp: timestamp)
        frame.y = Self.rows(of: y, width: width, height: height)
        frame.u = Self.rows(of: u, width: (width + 1) / 2, height: (height + 1) / 2)
        frame.v = Self.rows(of: v, width: (width + 1) / 2, height: (height + 1) / 2)
        return frame
    }

    private static func rows(of plane: Plane, width: Int, height: Int) -> [UInt8] {
        var rows = [UInt8]()
        rows.reserveCapacity(width * height)
        for row in 0..<height {
            rows.append(contentsOf: plane.bytes[row * plane.stride..<row * plane.stride + width])
        }
        return rows
    }
}

/// Audio in memory of the library's: interleaved signed 16-bit samples, valid until the handler returns.
public struct AudioFrameView: ~Copyable {
    public let samples: UnsafeBufferPointer<Int16>
    /// In Hz.
    public let sampleRate: Int
    public let channels: Int
    /// Since the first frame.
    public let timestamp: Duration
}

/// Functions for decoded media. They run on media threads of the library, several at the same time, and must not block:
/// paint, measure or copy the frame, and return. What is nil costs nothing.
public struct MediaHandlers: Sendable {
    /// Each decoded picture of a participant's track: the identity, the track's id and the picture.
    public var video: (@Sendable (_ identity: String, _ trackID: String, _ frame: borrowing VideoFrameView) -> Void)?
    /// The mix of all the others, 20 ms at a time.
    public var audio: (@Sendable (_ frame: borrowing AudioFrameView) -> Void)?
    /// What one participant says, alone, 20 ms at a time.
    public var participantAudio: (@Sendable (_ identity: String, _ frame: borrowing AudioFrameView) -> Void)?

    public init() {}
}
