@file:Suppress("PropertyName")

package dev.trill.internal

import com.sun.jna.IntegerType
import com.sun.jna.Native
import com.sun.jna.Pointer
import com.sun.jna.Structure

// The structs of trill.h, with their members' names; a test compares each offset and size with what a C compiler says.
// Strings that go in are String, those that come out are Pointer: they are read before the callback that lends them returns.

internal class SizeT(value: Long = 0) : IntegerType(Native.SIZE_T_SIZE, value, true) {
    override fun toByte(): Byte = toInt().toByte()

    override fun toShort(): Short = toInt().toShort()
}

internal abstract class Struct(pointer: Pointer?) : Structure(pointer) {
    init {
        setStringEncoding("UTF-8")
    }
}

/** Reads a struct that the library lends. */
internal fun <S : Struct> S.readAll(): S = apply { read() }

/** A struct to be handed in, complete with its size. */
internal fun <S : Struct> S.sized(): S = apply { writeField("struct_size", SizeT(size().toLong())) }

@Structure.FieldOrder("status", "message")
internal class ErrorStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var status = 0
    @JvmField var message: Pointer? = null
}

@Structure.FieldOrder("struct_size", "device_id", "call_waiting", "worker_threads")
internal class EngineConfigStruct : Struct(null) {
    @JvmField var struct_size = SizeT()
    @JvmField var device_id: String? = null
    @JvmField var call_waiting = 0
    @JvmField var worker_threads = 0
}

@Structure.FieldOrder("struct_size", "user_data", "event", "drop_user_data")
internal class EngineCallbacksStruct : Struct(null) {
    @JvmField var struct_size = SizeT()
    @JvmField var user_data: Pointer? = null
    @JvmField var event: EventFunction? = null
    @JvmField var drop_user_data: DropFunction? = null
}

@Structure.FieldOrder("from", "payload", "payload_size", "topic", "reliable")
internal class DataStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var from: Pointer? = null
    @JvmField var payload: Pointer? = null
    @JvmField var payload_size = SizeT()
    @JvmField var topic: Pointer? = null
    @JvmField var reliable = 0
}

@Structure.FieldOrder(
    "kind", "local", "session_id", "error", "user", "call", "by", "participant", "participants", "participant_count",
    "identity", "track", "track_id", "speakers", "speaker_count", "data", "width", "height", "quality", "session_end",
    "device", "device_state", "device_name", "statistics",
)
internal class EventStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var kind = 0
    @JvmField var local = 0
    @JvmField var session_id: Pointer? = null
    @JvmField var error: Pointer? = null
    @JvmField var user: Pointer? = null
    @JvmField var call: Pointer? = null
    @JvmField var by: Pointer? = null
    @JvmField var participant: Pointer? = null
    @JvmField var participants: Pointer? = null
    @JvmField var participant_count = SizeT()
    @JvmField var identity: Pointer? = null
    @JvmField var track: Pointer? = null
    @JvmField var track_id: Pointer? = null
    @JvmField var speakers: Pointer? = null
    @JvmField var speaker_count = SizeT()
    @JvmField var data: Pointer? = null
    @JvmField var width = 0
    @JvmField var height = 0
    @JvmField var quality = 0
    @JvmField var session_end = 0
    @JvmField var device = 0
    @JvmField var device_state = 0
    @JvmField var device_name: Pointer? = null
    @JvmField var statistics: Pointer? = null
}

@Structure.FieldOrder("uid", "name", "avatar", "metadata")
internal class UserStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var uid: Pointer? = null
    @JvmField var name: Pointer? = null
    @JvmField var avatar: Pointer? = null
    @JvmField var metadata: Pointer? = null
}

@Structure.FieldOrder("struct_size", "receiver_type", "category", "timeout_s", "metadata")
internal class CallOptionsStruct : Struct(null) {
    @JvmField var struct_size = SizeT()
    @JvmField var receiver_type = 0
    @JvmField var category = 0
    @JvmField var timeout_s = 0
    @JvmField var metadata: String? = null
}

@Structure.FieldOrder("uid", "device_id", "state", "joined", "joined_at_ms", "left_at_ms")
internal class CallPartyStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var uid: Pointer? = null
    @JvmField var device_id: Pointer? = null
    @JvmField var state = 0
    @JvmField var joined = 0
    @JvmField var joined_at_ms = 0L
    @JvmField var left_at_ms = 0L
}

@Structure.FieldOrder(
    "session_id", "initiator", "receiver", "receiver_name", "receiver_type", "call_type", "category", "status",
    "initiated_at_ms", "started_at_ms", "ended_at_ms", "duration_ms", "ended_by", "end_reason", "parties",
    "party_count", "metadata", "receiver_avatar", "revision",
)
internal class CallStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var session_id: Pointer? = null
    @JvmField var initiator: Pointer? = null
    @JvmField var receiver: Pointer? = null
    @JvmField var receiver_name: Pointer? = null
    @JvmField var receiver_type = 0
    @JvmField var call_type = 0
    @JvmField var category = 0
    @JvmField var status = 0
    @JvmField var initiated_at_ms = 0L
    @JvmField var started_at_ms = 0L
    @JvmField var ended_at_ms = 0L
    @JvmField var duration_ms = 0L
    @JvmField var ended_by: Pointer? = null
    @JvmField var end_reason = 0
    @JvmField var parties: Pointer? = null
    @JvmField var party_count = SizeT()
    @JvmField var metadata: Pointer? = null
    @JvmField var receiver_avatar: Pointer? = null
    @JvmField var revision = 0L
}

@Structure.FieldOrder("outcome", "call")
internal class PushedCallStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var outcome = 0
    @JvmField var call: Pointer? = null
}

@Structure.FieldOrder("uid", "session_id", "from", "group", "call_type", "expires_at_ms")
internal class WakeStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var uid: Pointer? = null
    @JvmField var session_id: Pointer? = null
    @JvmField var from: Pointer? = null
    @JvmField var group: Pointer? = null
    @JvmField var call_type = 0
    @JvmField var expires_at_ms = 0L
}

@Structure.FieldOrder("name", "id", "is_default")
internal class DeviceStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var name: Pointer? = null
    @JvmField var id: Pointer? = null
    @JvmField var is_default = 0
}

@Structure.FieldOrder("devices", "device_count")
internal class DevicesStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var devices: Pointer? = null
    @JvmField var device_count = SizeT()
}

@Structure.FieldOrder("channels", "sample_rate_min", "sample_rate_max", "pixels", "width", "height", "fps")
internal class DeviceFormatStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var channels = 0
    @JvmField var sample_rate_min = 0
    @JvmField var sample_rate_max = 0
    @JvmField var pixels: Pointer? = null
    @JvmField var width = 0
    @JvmField var height = 0
    @JvmField var fps = 0
}

@Structure.FieldOrder("formats", "format_count", "channels", "sample_rate")
internal class DeviceFormatsStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var formats: Pointer? = null
    @JvmField var format_count = SizeT()
    @JvmField var channels = 0
    @JvmField var sample_rate = 0
}

@Structure.FieldOrder("url", "token", "expires_at_ms")
internal class SessionAccessStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var url: Pointer? = null
    @JvmField var token: Pointer? = null
    @JvmField var expires_at_ms = 0L
}

@Structure.FieldOrder(
    "struct_size", "audio_source", "audio_looped", "audio_file", "audio_tone_hz", "audio_sample_rate",
    "audio_channels", "audio_bitrate_bps", "video_source", "video_looped", "video_file", "video_width",
    "video_height", "video_fps", "video_bitrate_bps", "audio_only", "start_audio_muted", "start_video_paused",
    "audio_output_file", "video_output_folder", "manual_subscribe", "reconnect_timeout_ms", "microphone", "camera",
    "play", "speaker", "voice_processing", "statistics_interval_ms", "device_policy", "left_alone_timeout_ms",
    "simulcast", "audio_dtx",
)
internal class SessionSettingsStruct : Struct(null) {
    @JvmField var struct_size = SizeT()
    @JvmField var audio_source = 0
    @JvmField var audio_looped = 0
    @JvmField var audio_file: String? = null
    @JvmField var audio_tone_hz: Float = 0f
    @JvmField var audio_sample_rate = 0
    @JvmField var audio_channels = 0
    @JvmField var audio_bitrate_bps = 0
    @JvmField var video_source = 0
    @JvmField var video_looped = 0
    @JvmField var video_file: String? = null
    @JvmField var video_width = 0
    @JvmField var video_height = 0
    @JvmField var video_fps = 0
    @JvmField var video_bitrate_bps = 0
    @JvmField var audio_only = 0
    @JvmField var start_audio_muted = 0
    @JvmField var start_video_paused = 0
    @JvmField var audio_output_file: String? = null
    @JvmField var video_output_folder: String? = null
    @JvmField var manual_subscribe = 0
    @JvmField var reconnect_timeout_ms = 0
    @JvmField var microphone: String? = null
    @JvmField var camera: String? = null
    @JvmField var play = 0
    @JvmField var speaker: String? = null
    @JvmField var voice_processing = 0
    @JvmField var statistics_interval_ms = 0
    @JvmField var device_policy = 0
    @JvmField var left_alone_timeout_ms = 0
    @JvmField var simulcast = 0
    @JvmField var audio_dtx = 0
}

@Structure.FieldOrder(
    "struct_size", "user_data", "joined", "connected", "participant_joined", "participant_left",
    "participant_updated", "track_published", "track_unpublished", "track_subscribed", "track_unsubscribed",
    "track_muted", "track_unmuted", "first_audio", "first_video", "active_speakers", "quality_changed", "data",
    "reconnecting", "reconnected", "error", "ended", "video_frame", "audio_frame", "participant_audio_frame",
    "drop_user_data", "device_changed", "statistics",
)
internal class SessionCallbacksStruct : Struct(null) {
    @JvmField var struct_size = SizeT()
    @JvmField var user_data: Pointer? = null
    @JvmField var joined: EventFunction? = null
    @JvmField var connected: EventFunction? = null
    @JvmField var participant_joined: EventFunction? = null
    @JvmField var participant_left: EventFunction? = null
    @JvmField var participant_updated: EventFunction? = null
    @JvmField var track_published: EventFunction? = null
    @JvmField var track_unpublished: EventFunction? = null
    @JvmField var track_subscribed: EventFunction? = null
    @JvmField var track_unsubscribed: EventFunction? = null
    @JvmField var track_muted: EventFunction? = null
    @JvmField var track_unmuted: EventFunction? = null
    @JvmField var first_audio: EventFunction? = null
    @JvmField var first_video: EventFunction? = null
    @JvmField var active_speakers: EventFunction? = null
    @JvmField var quality_changed: EventFunction? = null
    @JvmField var data: EventFunction? = null
    @JvmField var reconnecting: EventFunction? = null
    @JvmField var reconnected: EventFunction? = null
    @JvmField var error: EventFunction? = null
    @JvmField var ended: EventFunction? = null
    @JvmField var video_frame: VideoFrameFunction? = null
    @JvmField var audio_frame: AudioFrameFunction? = null
    @JvmField var participant_audio_frame: ParticipantAudioFunction? = null
    @JvmField var drop_user_data: DropFunction? = null
    @JvmField var device_changed: EventFunction? = null
    @JvmField var statistics: EventFunction? = null
}

@Structure.FieldOrder("id", "kind", "source", "name", "mime_type", "muted", "subscribed", "width", "height")
internal class TrackStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var id: Pointer? = null
    @JvmField var kind = 0
    @JvmField var source = 0
    @JvmField var name: Pointer? = null
    @JvmField var mime_type: Pointer? = null
    @JvmField var muted = 0
    @JvmField var subscribed = 0
    @JvmField var width = 0
    @JvmField var height = 0
}

@Structure.FieldOrder(
    "identity", "id", "name", "metadata", "tracks", "track_count", "speaking", "level", "quality", "attributes",
    "attribute_count",
)
internal class ParticipantStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var identity: Pointer? = null
    @JvmField var id: Pointer? = null
    @JvmField var name: Pointer? = null
    @JvmField var metadata: Pointer? = null
    @JvmField var tracks: Pointer? = null
    @JvmField var track_count = SizeT()
    @JvmField var speaking = 0
    @JvmField var level: Float = 0f
    @JvmField var quality = 0
    @JvmField var attributes: Pointer? = null
    @JvmField var attribute_count = SizeT()
}

@Structure.FieldOrder("name", "value")
internal class AttributeStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var name: Pointer? = null
    @JvmField var value: Pointer? = null
}

@Structure.FieldOrder("participants", "participant_count")
internal class ParticipantsStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var participants: Pointer? = null
    @JvmField var participant_count = SizeT()
}

@Structure.FieldOrder("identity", "level")
internal class SpeakerStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var identity: Pointer? = null
    @JvmField var level: Float = 0f
}

@Structure.FieldOrder(
    "struct_size", "y", "u", "v", "stride_y", "stride_u", "stride_v", "width", "height", "rotation", "timestamp_us",
)
internal class VideoFrameStruct(pointer: Pointer? = null) : Struct(pointer) {
    @JvmField var struct_size = SizeT()
    @JvmField var y: Pointer? = null
    @JvmField var u: Pointer? = null
    @JvmField var v: Pointer? = null
    @JvmField var stride_y = SizeT()
    @JvmField var stride_u = SizeT()
    @JvmField var stride_v = SizeT()
    @JvmField var width = 0
    @JvmField var height = 0
    @JvmField var rotation = 0
    @JvmField var timestamp_us = 0L
}

@Structure.FieldOrder("samples", "samples_per_channel", "sample_rate", "channels", "timestamp_us")
internal class AudioFrameStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var samples: Pointer? = null
    @JvmField var samples_per_channel = SizeT()
    @JvmField var sample_rate = 0
    @JvmField var channels = 0
    @JvmField var timestamp_us = 0L
}

@Structure.FieldOrder(
    "source", "muted", "packets", "bytes", "packets_lost", "loss_percent", "jitter_us", "round_trip_us",
    "audio_minus_dbov", "video_frames", "video_key_frames", "video_width", "video_height", "video_millifps",
    "video_encode_us", "packets_nacked", "packets_unsent", "video_plis", "video_left_out",
    "video_cpu_limited",
)
internal class SentTrackStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var source = 0
    @JvmField var muted = 0
    @JvmField var packets = 0L
    @JvmField var bytes = 0L
    @JvmField var packets_lost = 0
    @JvmField var loss_percent = 0
    @JvmField var jitter_us = 0L
    @JvmField var round_trip_us = 0L
    @JvmField var audio_minus_dbov = 0L
    @JvmField var video_frames = 0L
    @JvmField var video_key_frames = 0L
    @JvmField var video_width = 0
    @JvmField var video_height = 0
    @JvmField var video_millifps = 0L
    @JvmField var video_encode_us = 0L
    @JvmField var packets_nacked = 0L
    @JvmField var packets_unsent = 0L
    @JvmField var video_plis = 0L
    @JvmField var video_left_out = 0L
    @JvmField var video_cpu_limited = 0L
}

@Structure.FieldOrder(
    "identity", "track_id", "source", "packets", "bytes", "packets_lost", "audio_concealed", "audio_fec_recovered",
    "audio_jitter_us", "audio_buffer_us", "audio_minus_dbov", "video_frames", "video_key_frames", "video_plis",
    "video_freezes", "video_width", "video_height", "video_millifps", "video_decode_us", "packets_dropped",
    "undecodable", "audio_target_us",
)
internal class ReceivedTrackStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var identity: Pointer? = null
    @JvmField var track_id: Pointer? = null
    @JvmField var source = 0
    @JvmField var packets = 0L
    @JvmField var bytes = 0L
    @JvmField var packets_lost = 0L
    @JvmField var audio_concealed = 0L
    @JvmField var audio_fec_recovered = 0L
    @JvmField var audio_jitter_us = 0L
    @JvmField var audio_buffer_us = 0L
    @JvmField var audio_minus_dbov = 0L
    @JvmField var video_frames = 0L
    @JvmField var video_key_frames = 0L
    @JvmField var video_plis = 0L
    @JvmField var video_freezes = 0L
    @JvmField var video_width = 0
    @JvmField var video_height = 0
    @JvmField var video_millifps = 0L
    @JvmField var video_decode_us = 0L
    @JvmField var packets_dropped = 0L
    @JvmField var undecodable = 0L
    @JvmField var audio_target_us = 0L
}

@Structure.FieldOrder(
    "joined_after_us", "connected_after_us", "first_audio_after_us", "first_video_after_us", "signal_round_trip_ms",
    "bytes_sent", "bytes_received", "sent", "sent_count", "received", "received_count", "send_estimate_bps",
    "send_queue_us", "send_round_trip_us", "receive_round_trip_us", "playback_underruns",
)
internal class StatisticsStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var joined_after_us = 0L
    @JvmField var connected_after_us = 0L
    @JvmField var first_audio_after_us = 0L
    @JvmField var first_video_after_us = 0L
    @JvmField var signal_round_trip_ms = 0L
    @JvmField var bytes_sent = 0L
    @JvmField var bytes_received = 0L
    @JvmField var sent: Pointer? = null
    @JvmField var sent_count = SizeT()
    @JvmField var received: Pointer? = null
    @JvmField var received_count = SizeT()
    @JvmField var send_estimate_bps = 0
    @JvmField var send_queue_us = 0L
    @JvmField var send_round_trip_us = 0L
    @JvmField var receive_round_trip_us = 0L
    @JvmField var playback_underruns = 0L
}

@Structure.FieldOrder(
    "struct_size", "limit", "call_type", "status", "direction", "uid", "since_ms", "until_ms", "cursor", "category",
    "guid", "recording",
)
internal class CallLogFilterStruct : Struct(null) {
    @JvmField var struct_size = SizeT()
    @JvmField var limit = 0
    @JvmField var call_type = 0
    @JvmField var status = 0
    @JvmField var direction = 0
    @JvmField var uid: String? = null
    @JvmField var since_ms = 0L
    @JvmField var until_ms = 0L
    @JvmField var cursor: String? = null
    @JvmField var category = 0
    @JvmField var guid: String? = null
    @JvmField var recording = 0
}

@Structure.FieldOrder("calls", "call_count", "next", "previous")
internal class CallLogPageStruct(pointer: Pointer?) : Struct(pointer) {
    @JvmField var calls: Pointer? = null
    @JvmField var call_count = SizeT()
    @JvmField var next: Pointer? = null
    @JvmField var previous: Pointer? = null
}
