//! What control asks of a running pipeline. All of it is atomics: media never waits for control.

use super::simulcast::WantedLayers;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};

/// Steers one sending pipeline. Shared between the transport, which learns what the network and the receivers want,
/// the engine, which learns what the user wants, and the encoder's thread, which looks before each frame.
#[derive(Debug)]
pub struct SendControl {
    muted: AtomicBool,
    /// A bit for each layer, the lowest first.
    key_frames: AtomicU8,
    /// [`WantedLayers`].
    wanted: AtomicU8,
    is_group: AtomicBool,
    bitrate_bps: AtomicU32,
    /// What the network carries of it.
    limit_bps: AtomicU32,
    pace_bps: AtomicU32,
    loss_percent: AtomicU8,
    red: AtomicBool,
    redundancy_limit: AtomicU8,
    dtx: AtomicBool,
}

impl SendControl {
    /// `bitrate_bps`: at most; the network may carry less, and [`Self::limit_bitrate`] says so.
    pub fn new(bitrate_bps: u32) -> Self {
        Self {
            muted: AtomicBool::new(false),
            key_frames: AtomicU8::new(0),
            wanted: AtomicU8::new(WantedLayers::ALL.bits()),
            is_group: AtomicBool::new(false),
            bitrate_bps: AtomicU32::new(bitrate_bps),
            limit_bps: AtomicU32::new(u32::MAX),
            pace_bps: AtomicU32::new(0),
            loss_percent: AtomicU8::new(0),
            red: AtomicBool::new(false),
            redundancy_limit: AtomicU8::new(u8::MAX),
            dtx: AtomicBool::new(false),
        }
    }

    /// Muted audio and paused video are not captured, not encoded, not sent.
    pub fn set_muted(&self, muted: bool) {
        self.muted.store(muted, Relaxed);
    }

    pub fn is_muted(&self) -> bool {
        self.muted.load(Relaxed)
    }

    /// A receiver cannot decode without a key frame (PLI or FIR), in whatever layer it gets. Many requests before the next
    /// frame are one.
    pub fn request_key_frame(&self) {
        self.key_frames.store(u8::MAX, Relaxed);
    }

    /// The same of one layer: 0 is the lowest, of [`MAX_LAYERS`](super::simulcast::MAX_LAYERS).
    pub fn request_layer_key_frame(&self, layer: usize) {
        self.key_frames.fetch_or(1 << layer.min(7), Relaxed);
    }

    /// True once after any number of requests, of whatever layers.
    pub fn take_key_frame_request(&self) -> bool {
        self.take_key_frame_requests() != 0
    }

    /// A bit for each layer that was asked for since the last time, the lowest first.
    pub fn take_key_frame_requests(&self) -> u8 {
        self.key_frames.swap(0, Relaxed)
    }

    /// What the server says that anybody wants. All of it until it says something.
    pub fn set_wanted(&self, wanted: WantedLayers) {
        self.wanted.store(wanted.bits(), Relaxed);
    }

    pub fn wanted(&self) -> WantedLayers {
        WantedLayers::from_bits(self.wanted.load(Relaxed))
    }

    /// Whether there are several receivers, which may differ in what they can take.
    pub fn set_group(&self, is_group: bool) {
        self.is_group.store(is_group, Relaxed);
    }

    pub fn is_group(&self) -> bool {
        self.is_group.load(Relaxed)
    }

    /// What the track may take at most, whatever the network carries.
    pub fn max_bitrate_bps(&self) -> u32 {
        self.bitrate_bps.load(Relaxed)
    }

    /// Other layers are wanted, which take another bitrate.
    pub fn set_max_bitrate(&self, bps: u32) {
        self.bitrate_bps.store(bps, Relaxed);
    }

    /// What the network carries of this track.
    pub fn limit_bitrate(&self, bps: u32) {
        self.limit_bps.store(bps, Relaxed);
    }

    /// The path is narrow, and carries so much of this track ([`Pacer`](super::pacer::Pacer)). 0: it is wide.
    pub fn set_pace(&self, bps: u32) {
        self.pace_bps.store(bps, Relaxed);
    }

    pub fn pace_bps(&self) -> u32 {
        self.pace_bps.load(Relaxed)
    }

    /// What is to be sent now.
    pub fn bitrate_bps(&self) -> u32 {
        self.bitrate_bps.load(Relaxed).min(self.limit_bps.load(Relaxed))
    }

    /// What the receivers report as lost, 0-100: it sets the strength of Opus's in-band FEC.
    pub fn set_loss_percent(&self, percent: u8) {
        self.loss_percent.store(percent.min(100), Relaxed);
    }

    pub fn loss_percent(&self) -> u8 {
        self.loss_percent.load(Relaxed)
    }

    /// Whether the other side takes RED ([`super::red`]): audio is sent in it then.
    pub fn set_takes_red(&self, takes: bool) {
        self.red.store(takes, Relaxed);
    }

    pub fn takes_red(&self) -> bool {
        self.red.load(Relaxed)
    }

    /// Whether silence is left out (discontinuous transmission).
    pub fn set_dtx(&self, on: bool) {
        self.dtx.store(on, Relaxed);
    }

    pub fn dtx(&self) -> bool {
        self.dtx.load(Relaxed)
    }

    /// How many packets the network has room to repeat in each.
    pub fn limit_redundancy(&self, packets: u8) {
        self.redundancy_limit.store(packets, Relaxed);
    }

    /// How many of the packets before it each packet of audio is to repeat.
    pub fn redundancy(&self) -> usize {
        let wanted = if self.takes_red() { super::red::redundancy(self.loss_percent()) } else { 0 };
        wanted.min(self.redundancy_limit.load(Relaxed).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_key_frame_requests_are_one() {
        let control = SendControl::new(1);
        control.request_key_frame();
        control.request_key_frame();
        assert!(control.take_key_frame_request());
        assert!(!control.take_key_frame_request());
    }

    #[test]
    fn a_key_frame_of_one_layer_is_asked_of_that_one_alone() {
        let control = SendControl::new(1);
        control.request_layer_key_frame(2);
        control.request_layer_key_frame(0);
        assert_eq!(control.take_key_frame_requests(), 0b101);
        assert_eq!(control.take_key_frame_requests(), 0);
    }
}
