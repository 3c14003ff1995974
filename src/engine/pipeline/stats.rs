//! What the pipelines tell of themselves: atomics that their threads write and anyone reads.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! stats {
    ($(#[$about:meta])* $live:ident, $report:ident { $( $(#[$doc:meta])* $field:ident, )* }) => {
        $(#[$about])*
        ///
        /// Written by the pipeline's thread, readable at any time; [`Self::report`] takes all of it.
        #[derive(Debug, Default)]
        pub struct $live {
            $( pub(super) $field: AtomicU64, )*
        }

        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct $report {
            $( $(#[$doc])* pub $field: u64, )*
        }

        impl $live {
            pub fn report(&self) -> $report {
                $report { $( $field: self.$field.load(Relaxed), )* }
            }
        }
    };
}

stats! {
    /// One sent audio track. Counters are since its start.
    AudioSenderStats, AudioSenderReport {
        /// RTP packets handed to the transport.
        packets,
        /// Their payloads, in bytes.
        bytes,
        /// Packets that the transport had no room for.
        dropped,
        /// How loud the last frame was, in dB below overload: 0 to 127.
        minus_dbov,
        /// 1 while the last frame is taken for a voice.
        voice,
        /// 1 when the source is over.
        ended,
    }
}

stats! {
    /// One received audio track. Counters are since its start.
    AudioReceiverStats, AudioReceiverReport {
        /// RTP packets received.
        packets,
        /// Their payloads, in bytes.
        bytes,
        /// Packets that never came, or too late.
        lost,
        /// Packets that came too late.
        late,
        /// Packets that the pipeline had no room for.
        dropped,
        /// Pieces of 20 ms that were made up because a packet was missing.
        concealed,
        /// Lost packets recovered from the forward error correction of their successors.
        fec_recovered,
        /// Lost packets that came as redundancy of later ones (RED).
        red_recovered,
        /// Packets that were no Opus, or RED that cannot be read.
        invalid,
        /// Packets that the decoder refused.
        undecodable,
        /// Packets played.
        played,
        /// Interarrival jitter (RFC 3550), in microseconds.
        jitter_us,
        /// Audio waiting to be played, in microseconds.
        buffer_us,
        /// How long a packet waits as the network's jitter asks for, in microseconds.
        target_us,
        /// How loud the last frame was, in dB below overload: 0 to 127.
        minus_dbov,
    }
}

stats! {
    /// One sent video track, all its layers together. Counters are since its start.
    VideoSenderStats, VideoSenderReport {
        /// Pictures encoded, in however many layers.
        frames,
        /// Of all layers.
        key_frames,
        /// Pictures left out to hold the bitrate.
        left_out,
        /// RTP packets handed to the transport.
        packets,
        /// Their payloads, in bytes.
        bytes,
        /// Packets that the transport had no room for.
        dropped,
        /// Of the last picture in its best layer, in pixels.
        width,
        height,
        /// Pictures sent in a second, in thousandths.
        millifps,
        /// What scaling and encoding take, smoothed, in microseconds.
        encode_us,
        /// 1 while layers, size or pictures are left out because the machine has not the time to encode them: WebRTC's
        /// `qualityLimitationReason` is `cpu` then.
        cpu_limited,
        /// 1 when the source is over.
        ended,
    }
}

stats! {
    /// One simulcast layer of a sent video track, or all of one that is sent in a single size. Counters are since its start.
    VideoLayerStats, VideoLayerReport {
        /// Pictures encoded.
        frames,
        key_frames,
        /// RTP packets handed to the transport.
        packets,
        /// Their payloads, in bytes.
        bytes,
        /// Of the last picture, in pixels.
        width,
        height,
        /// What it is encoded at in bit/s; 0 while it is not sent.
        bitrate_bps,
    }
}

stats! {
    /// One received video track. Counters are since its start.
    VideoReceiverStats, VideoReceiverReport {
        /// RTP packets received.
        packets,
        /// Their payloads, in bytes.
        bytes,
        /// Packets that never came, or after they were given up.
        lost,
        /// Packets that the pipeline had no room for.
        dropped,
        /// Pictures shown.
        frames,
        key_frames,
        /// Pictures that the decoder refused.
        undecodable,
        /// Requests for a key frame.
        plis,
        /// Times that the picture stood until a key frame came.
        freezes,
        /// Of the last picture, in pixels.
        width,
        height,
        /// Pictures shown in a second, in thousandths.
        millifps,
        /// What decoding takes, smoothed, in microseconds.
        decode_us,
    }
}

/// Adds to a counter of one writer.
pub(super) fn add(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Relaxed);
}

pub(super) fn set(value: &AtomicU64, to: u64) {
    value.store(to, Relaxed);
}

/// Moves an eighth of the way: for what is shown to people.
pub(super) fn smooth(value: &AtomicU64, to: u64) {
    let now = value.load(Relaxed);
    set(value, if now == 0 { to } else { (now * 7 + to) / 8 });
}
