package dev.trill

import java.time.Instant
import kotlin.time.Duration

/** A user as others see it. */
data class User(
    val uid: String,
    /** For people. */
    val name: String?,
    /** An https URL of a picture. */
    val avatar: String?,
    /** The server owner's own, as JSON, when this is the user that is logged in. */
    val metadata: String?,
)

/** One call, as it was at one moment. Times are by the server's clock. */
data class Call(
    /** Names the call and its session. */
    val sessionId: String,
    val initiator: User,
    /** A uid, or a group's guid. */
    val receiver: String,
    val receiverName: String?,
    val receiverType: ReceiverType,
    val type: CallType,
    val category: Category,
    val status: CallStatus,
    val initiatedAt: Instant,
    /** When it was accepted. */
    val startedAt: Instant?,
    val endedAt: Instant?,
    /** From accepted to ended; zero until it ended, and when it was never accepted. */
    val duration: Duration,
    /** The uid of who ended it; null when nobody did, as with a time-out. */
    val endedBy: String?,
    /** Null until it is over. */
    val endReason: EndReason?,
    /** The initiator first. */
    val parties: List<CallParty>,
    /** The app's own, as JSON. */
    val metadata: String?,
    /** An https URL of a picture. */
    val receiverAvatar: String?,
    /** Grows with each change: of two states of one call the one with the greater is the later. */
    val revision: Long,
)

/** One party of a call. */
data class CallParty(
    val uid: String,
    /** The one device of this user that is in the call, or that answered it. */
    val deviceId: String?,
    val state: PartyState,
    /** Was in the session at some time. */
    val joined: Boolean,
    val joinedAt: Instant?,
    val leftAt: Instant?,
)

/** What a party to an ongoing call starts its session with. */
data class SessionAccess(
    /** The session server. */
    val url: String,
    /** A LiveKit access token for this one session. A secret. */
    val token: String,
    val expiresAt: Instant,
) {
    override fun toString(): String = "SessionAccess(url=$url, expiresAt=$expiresAt)"
}

/** What became of a call that a push announced. */
data class PushedCall(val outcome: PushOutcome, /** As it is now. */ val call: Call)

/** What stands in a push's payload. Nothing of it is proven until [Engine.callFromPush] has asked the server. */
data class Wake(
    /** Whose devices are to ring. */
    val uid: String,
    val sessionId: String,
    /** Who calls; without an avatar. */
    val from: User,
    /** The guid of the group that is called; null when it is the user alone. */
    val group: String?,
    val type: CallType,
    /** When it is of no use any more. */
    val expiresAt: Instant,
)

/** A microphone, a speaker or a camera of the machine's. */
data class Device(
    /** For people. */
    val name: String,
    /** Names it where names are not unique. */
    val id: String,
    /** The one that is used when none is named. */
    val isDefault: Boolean,
)

/**
 * One thing that a device can. Of a microphone or speaker, channels and sample rates (in Hz, from the lowest to the highest) are
 * set; of a camera all the others.
 */
data class DeviceFormat(
    val channels: Int,
    val sampleRates: IntRange,
    /** Such as "nv12" or "mjpeg"; null for sound. */
    val pixels: String?,
    val width: Int,
    val height: Int,
    /** Pictures a second. */
    val fps: Int,
)

/** All that a device can. */
data class DeviceFormats(
    val formats: List<DeviceFormat>,
    /** With what a microphone or speaker is opened in a session; 0 for a camera. */
    val channels: Int,
    /** In Hz. */
    val sampleRate: Int,
)

/** One page of the call log. */
data class CallLogPage(
    /** Newest first. */
    val calls: List<Call>,
    /** The cursor of the page with older calls; null when there are none. */
    val next: String?,
    /** The cursor of the page with newer calls; null on the first page. */
    val previous: String?,
)

/** One presence of someone in a session. */
data class Participant(
    /** Who it is; in a call, its uid. */
    val identity: String,
    /** Names this presence: new at each join. */
    val id: String,
    /** For people; may be empty. */
    val name: String,
    /** The app's own; may be empty. */
    val metadata: String,
    val tracks: List<Track>,
    val speaking: Boolean,
    /** While speaking, 0 to 1, linear. */
    val level: Float,
    val quality: Quality,
    /** The app's own. */
    val attributes: Map<String, String>,
)

/** One published track. */
data class Track(
    val id: String,
    val kind: TrackKind,
    val source: Source,
    /** For people; may be empty. */
    val name: String,
    /** Such as "video/VP8"; empty until the server knows it. */
    val mimeType: String,
    val muted: Boolean,
    /** The server sends it to us. */
    val subscribed: Boolean,
    /** In pixels, as its publisher announced it; 0 for audio. */
    val width: Int,
    val height: Int,
)

/** One who speaks. */
data class Speaker(val identity: String, /** 0 to 1, linear. */ val level: Float)

/** A message from another participant, or from the server's own API. */
class DataMessage(
    /** The sender's identity; null when the server itself sent it. */
    val from: String?,
    val payload: ByteArray,
    val topic: String?,
    /** It was sent as a reliable one. */
    val reliable: Boolean,
) {
    override fun toString(): String = "DataMessage(from=$from, ${payload.size} bytes, topic=$topic, reliable=$reliable)"
}

/** What a session sends and receives. Counters are since its start, durations from its start; null for what is not yet. */
data class Statistics(
    val joinedAfter: Duration?,
    val connectedAfter: Duration?,
    val firstAudioAfter: Duration?,
    val firstVideoAfter: Duration?,
    /** Of the latest ping over signalling. */
    val signalRoundTrip: Duration?,
    /** Everything on the wire of our connections, headers of IP and UDP left out. */
    val bytesSent: Long,
    val bytesReceived: Long,
    val sent: List<SentTrack>,
    val received: List<ReceivedTrack>,
    /** What our path to the server is estimated to carry of what we send, in bit/s; null before there was feedback. */
    val sendEstimate: Long?,
    /** How long our packets wait in the queue of that path's bottleneck. */
    val sendQueue: Duration,
    /** Of the connection that we send on, by ICE's own checks. */
    val sendRoundTrip: Duration?,
    /** Of the connection that we receive on. */
    val receiveRoundTrip: Duration?,
    /** How often one of the machine's speakers ran out of sound: each run of silence counts once. */
    val playbackUnderruns: Long,
)

/** One track that we send. */
data class SentTrack(
    val source: Source,
    val muted: Boolean,
    val packets: Long,
    /** RTP payload. */
    val bytes: Long,
    /** By the receiver's count; repaired ones may be in it. */
    val packetsLost: Long,
    /** Smoothed, 0 to 100. */
    val lossPercent: Int,
    /** By the receiver's measure (RFC 3550). */
    val jitter: Duration,
    /** Null until it is known. */
    val roundTrip: Duration?,
    /** Of audio: how loud the last frame was, in dB to overload: -127 to 0. */
    val audioLevelDbov: Int,
    val video: VideoStatistics,
    /** What encoding a picture takes, smoothed. */
    val videoEncodeTime: Duration,
    /** Packets that the receiver asked for again. */
    val packetsNacked: Long,
    /** Packets that were made and not sent: there was no connection, or no room. */
    val packetsUnsent: Long,
    /** Requests for a key frame that came in. */
    val videoPlis: Long,
    /** Pictures left out to hold the bitrate. */
    val videoLeftOut: Long,
    /** Layers, size or pictures are left out because the machine has not the time to encode them. */
    val videoCpuLimited: Boolean,
)

/** One track that we receive. */
data class ReceivedTrack(
    /** Whose it is. */
    val identity: String,
    val trackId: String,
    val source: Source,
    val packets: Long,
    /** RTP payload. */
    val bytes: Long,
    /** Packets that never came, or too late. */
    val packetsLost: Long,
    /** Pieces of 20 ms that were made up because a packet was missing. */
    val audioConcealed: Long,
    /** Lost packets recovered from their successors. */
    val audioFecRecovered: Long,
    /** Interarrival jitter (RFC 3550). */
    val audioJitter: Duration,
    /** Audio waiting to be played. */
    val audioBuffer: Duration,
    /** Of audio: how loud the last frame was, in dB to overload: -127 to 0. */
    val audioLevelDbov: Int,
    val video: VideoStatistics,
    /** Requests for a key frame. */
    val videoPlis: Long,
    /** Times that the picture stood until a key frame came. */
    val videoFreezes: Long,
    /** What decoding a picture takes, smoothed. */
    val videoDecodeTime: Duration,
    /** Packets that came and were not looked at: there was no room. */
    val packetsDropped: Long,
    /** Packets of audio, or pictures, that the decoder refused. */
    val undecodable: Long,
    /** How long audio waits, as the network's jitter asks for. */
    val audioTarget: Duration,
)

/** The pictures of a track; all zero for audio. */
data class VideoStatistics(
    val frames: Long,
    val keyFrames: Long,
    /** In pixels. */
    val width: Int,
    val height: Int,
    /** Pictures a second. */
    val fps: Double,
)
