//! The media pipelines: from a source to packets, and from packets to a sink.
//!
//! Each runs on a thread of its own, so that media never waits for control: it is steered by the atomics of
//! [`SendControl`](crate::media::control::SendControl), told of packets through bounded queues that drop when full, and
//! watched through atomics that are readable at any time. Dropping a pipeline ends its thread within 200 ms.

mod ahead;
mod audio_receiver;
mod audio_sender;
mod stats;
#[cfg(test)]
mod tests;
mod video_layer;
mod video_receiver;
mod video_sender;
mod voice;
mod worker;

pub use audio_receiver::{AudioReceiver, Playout};
pub use audio_sender::AudioSender;
pub use stats::{
    AudioReceiverReport, AudioReceiverStats, AudioSenderReport, AudioSenderStats, VideoLayerReport, VideoLayerStats,
    VideoReceiverReport, VideoReceiverStats, VideoSenderReport, VideoSenderStats,
};
pub use video_receiver::VideoReceiver;
pub use video_sender::{VideoSender, VideoSenderSettings};
pub use voice::process_voice;

use crate::media::rtp::{ReceivedPacket, RtpPacket};
use crate::media::sync::{LipSync, SenderReports};
use crossbeam_channel::{Sender, TrySendError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Where a sending pipeline puts its packets. It never blocks: what does not fit is dropped and counted.
pub type PacketSender = tokio::sync::mpsc::Sender<RtpPacket>;

/// Packets that a [`PacketSender`] should have room for: a large key frame at once.
pub const PACKET_QUEUE: usize = 512;

/// What a receiving pipeline asks of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// It cannot decode without a key frame: send a PLI (RFC 4585, section 6.3.1). Comes twice a second at most.
    KeyFrameNeeded,
}

/// Called on the pipeline's thread; it must not block.
pub type FeedbackSink = Arc<dyn Fn(Feedback) + Send + Sync>;

/// What a receiving pipeline needs for lip sync.
#[derive(Clone)]
pub struct Timing {
    /// Of its own stream.
    pub reports: Arc<SenderReports>,
    /// What it shares with the other pipelines of its participant.
    pub sync: Arc<LipSync>,
}

/// Called once, on the pipeline's thread, when the first media of a track was handed to its sink; it must not block.
pub type FirstMedia = Box<dyn FnOnce() + Send>;

/// Where the transport puts a track's packets. Clones lead to the same pipeline.
#[derive(Clone)]
pub struct PacketInput {
    queue: Sender<ReceivedPacket>,
    dropped: Arc<AtomicU64>,
}

impl PacketInput {
    fn bounded(packets: usize) -> (Self, crossbeam_channel::Receiver<ReceivedPacket>) {
        let (queue, output) = crossbeam_channel::bounded(packets);
        (Self { queue, dropped: Arc::default() }, output)
    }

    /// Hands a packet over; never blocks. False when the pipeline has ended. When it is behind, the packet is dropped
    /// and counted.
    pub fn push(&self, packet: ReceivedPacket) -> bool {
        match self.queue.try_send(packet) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, Relaxed);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}
