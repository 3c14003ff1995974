//! Statistics.
//!
//! What a session sends and receives, track by track. Counters are since the start of the session. An app asks for them, or
//! has them told at an interval of the settings'.

use super::arena::Arena;
use super::boundary::{session_in, with_engine};
use super::engine::trill_engine;
use super::handle::UserData;
use super::library::trill_error;
use super::login::answer;
use super::participant::source_number;
use crate::engine::{ReceivedTrack, SentTrack, SessionStats};
use std::ffi::{c_char, c_void};

/// One track that we send. Members of the other kind of media are 0.
#[repr(C)]
pub struct trill_sent_track {
    /// TRILL_SOURCE_*.
    pub source: i32,
    pub muted: i32,
    pub packets: u64,
    /// RTP payload.
    pub bytes: u64,
    /// By the receiver's count; repaired ones may be in it.
    pub packets_lost: u32,
    /// Smoothed, 0 to 100.
    pub loss_percent: u32,
    /// By the receiver's measure (RFC 3550), in microseconds.
    pub jitter_us: u64,
    /// Round trip, in microseconds; 0 until it is known.
    pub round_trip_us: u64,
    /// How loud the last frame was, in dB below overload: 0 to 127.
    pub audio_minus_dbov: u64,
    pub video_frames: u64,
    pub video_key_frames: u64,
    /// In pixels.
    pub video_width: u32,
    /// In pixels.
    pub video_height: u32,
    /// Pictures a second, in thousandths.
    pub video_millifps: u64,
    /// What encoding a picture takes, smoothed, in microseconds.
    pub video_encode_us: u64,
    /// Packets that the receiver asked for again.
    pub packets_nacked: u64,
    /// Packets that were made and not sent: there was no connection, or no room.
    pub packets_unsent: u64,
    /// Requests for a key frame that came in.
    pub video_plis: u64,
    /// Pictures left out to hold the bitrate.
    pub video_left_out: u64,
    /// 1 while layers, size or pictures are left out because the machine has not the time to encode them.
    pub video_cpu_limited: u64,
}

/// One track that we receive. Members of the other kind of media are 0.
#[repr(C)]
pub struct trill_received_track {
    /// Whose it is.
    pub identity: *const c_char,
    pub track_id: *const c_char,
    /// TRILL_SOURCE_*.
    pub source: i32,
    pub packets: u64,
    /// RTP payload.
    pub bytes: u64,
    /// Packets that never came, or too late.
    pub packets_lost: u64,
    /// Pieces of 20 ms that were made up because a packet was missing.
    pub audio_concealed: u64,
    /// Lost packets recovered from their successors.
    pub audio_fec_recovered: u64,
    /// Interarrival jitter (RFC 3550), in microseconds.
    pub audio_jitter_us: u64,
    /// Audio waiting to be played, in microseconds.
    pub audio_buffer_us: u64,
    /// How loud the last frame was, in dB below overload: 0 to 127.
    pub audio_minus_dbov: u64,
    pub video_frames: u64,
    pub video_key_frames: u64,
    /// Requests for a key frame.
    pub video_plis: u64,
    /// Times that the picture stood until a key frame came.
    pub video_freezes: u64,
    /// In pixels.
    pub video_width: u32,
    /// In pixels.
    pub video_height: u32,
    /// Pictures a second, in thousandths.
    pub video_millifps: u64,
    /// What decoding a picture takes, smoothed, in microseconds.
    pub video_decode_us: u64,
    /// Packets that came and were not looked at: there was no room.
    pub packets_dropped: u64,
    /// Packets of audio, or pictures, that the decoder refused.
    pub undecodable: u64,
    /// How long audio waits, as the network's jitter asks for, in microseconds.
    pub audio_target_us: u64,
}

/// A session at one moment. Made by the library: new members are added at the end.
#[repr(C)]
pub struct trill_statistics {
    /// From the start of the session, in microseconds; 0 for what has not happened.
    pub joined_after_us: u64,
    /// As joined_after_us.
    pub connected_after_us: u64,
    /// As joined_after_us.
    pub first_audio_after_us: u64,
    /// As joined_after_us.
    pub first_video_after_us: u64,
    /// Round trip of the latest ping over signalling, in ms; 0 before the first.
    pub signal_round_trip_ms: u64,
    /// Everything on the wire of our connections, headers of IP and UDP left out.
    pub bytes_sent: u64,
    /// As bytes_sent.
    pub bytes_received: u64,
    pub sent: *const trill_sent_track,
    pub sent_count: usize,
    pub received: *const trill_received_track,
    pub received_count: usize,
    /// What our path to the server is estimated to carry of what we send, in bit/s; 0 before there was feedback.
    pub send_estimate_bps: u32,
    /// How long our packets wait in the queue of that path's bottleneck, in microseconds; 0 also while it is not known.
    pub send_queue_us: u64,
    /// Round trip of the connection that we send on, by ICE's own checks, in microseconds; 0 before the first.
    pub send_round_trip_us: u64,
    /// As send_round_trip_us, of the connection that we receive on.
    pub receive_round_trip_us: u64,
    /// How often one of the machine's speakers ran out of sound: each run of silence counts once.
    pub playback_underruns: u64,
}

/// Told the statistics of a session. `statistics` is NULL on failure, `error` otherwise; both are lent until the function
/// returns.
pub type trill_statistics_done = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        status: i32,
        statistics: *const trill_statistics,
        error: *const trill_error,
    ),
>;

/// Asks what a session sends and receives.
///
/// session_id: copied.
/// done: called exactly once if 0 is returned, else not at all. Its status is TRILL_STATUS_SESSION_NOT_FOUND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_session_statistics(
    engine: *mut trill_engine,
    session_id: *const c_char,
    done: trill_statistics_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
) -> i32 {
    with_engine(engine, error, |handle| {
        let id = session_in(session_id)?;
        let (user_data, completion) = (UserData(user_data), handle.engine(|engine| engine.statistics(&id))?);
        handle.complete(completion, move |result| answer(result, user_data, trill_statistics::new, done))
    })
}

impl trill_statistics {
    pub(super) fn new(stats: &SessionStats, arena: &mut Arena) -> Self {
        let micros = |ms: Option<f64>| ms.map_or(0, |ms| (ms * 1000.0) as u64);
        let sent: Vec<_> = stats.sent.iter().map(trill_sent_track::new).collect();
        let received: Vec<_> = stats.received.iter().map(|track| trill_received_track::new(track, arena)).collect();
        Self {
            joined_after_us: micros(stats.timings.joined_ms),
            connected_after_us: micros(stats.timings.connected_ms),
            first_audio_after_us: micros(stats.timings.first_audio_ms),
            first_video_after_us: micros(stats.timings.first_video_ms),
            signal_round_trip_ms: stats.signal_rtt_ms,
            bytes_sent: stats.publisher.bytes_sent + stats.subscriber.bytes_sent,
            bytes_received: stats.publisher.bytes_received + stats.subscriber.bytes_received,
            sent_count: sent.len(),
            sent: arena.array(sent),
            received_count: received.len(),
            received: arena.array(received),
            send_estimate_bps: stats.publisher.estimate_bps.unwrap_or_default(),
            send_queue_us: micros(stats.publisher.queue_ms),
            send_round_trip_us: micros(stats.publisher.rtt_ms),
            receive_round_trip_us: micros(stats.subscriber.rtt_ms),
            playback_underruns: stats.playback_underruns,
        }
    }
}

impl trill_sent_track {
    fn new(track: &SentTrack) -> Self {
        let (audio, video) = (track.audio.unwrap_or_default(), track.video.unwrap_or_default());
        Self {
            source: source_number(track.source),
            muted: track.muted.into(),
            packets: track.network.packets,
            bytes: track.network.bytes,
            packets_lost: track.network.packets_lost,
            loss_percent: track.network.loss_percent.into(),
            jitter_us: track.network.jitter.as_micros() as u64,
            round_trip_us: track.network.rtt.map_or(0, |rtt| rtt.as_micros() as u64),
            audio_minus_dbov: audio.minus_dbov,
            video_frames: video.frames,
            video_key_frames: video.key_frames,
            video_width: video.width as u32,
            video_height: video.height as u32,
            video_millifps: video.millifps,
            video_encode_us: video.encode_us,
            packets_nacked: track.network.packets_nacked,
            packets_unsent: track.network.unsent + audio.dropped + video.dropped,
            video_plis: track.network.key_frame_requests,
            video_left_out: video.left_out,
            video_cpu_limited: video.cpu_limited,
        }
    }
}

impl trill_received_track {
    fn new(track: &ReceivedTrack, arena: &mut Arena) -> Self {
        let (audio, video) = (track.audio.unwrap_or_default(), track.video.unwrap_or_default());
        Self {
            identity: arena.string(track.participant.as_str()),
            track_id: arena.string(track.track.as_str()),
            source: source_number(track.source),
            packets: track.network.packets,
            bytes: track.network.bytes,
            packets_lost: audio.lost + video.lost,
            audio_concealed: audio.concealed,
            audio_fec_recovered: audio.fec_recovered + audio.red_recovered,
            audio_jitter_us: audio.jitter_us,
            audio_buffer_us: audio.buffer_us,
            audio_minus_dbov: audio.minus_dbov,
            video_frames: video.frames,
            video_key_frames: video.key_frames,
            video_plis: video.plis,
            video_freezes: video.freezes,
            video_width: video.width as u32,
            video_height: video.height as u32,
            video_millifps: video.millifps,
            video_decode_us: video.decode_us,
            packets_dropped: track.network.dropped + audio.dropped + video.dropped,
            undecodable: audio.undecodable + video.undecodable,
            audio_target_us: audio.target_us,
        }
    }
}
