//! The codecs behind two small traits each: what the pipelines need of them, and no more.
//!
//! Level 2. Everything here is called from one thread at a time; none of it blocks.

pub mod opus;
pub mod vp8;

use crate::base::Result;
use crate::media::frame::{AudioFrame, VideoFrame};
use std::time::Duration;

/// Audio frames to packets.
pub trait AudioEncoder: Send {
    /// Encodes 20 ms and answers with the packet, which stays valid until the next call.
    fn encode(&mut self, frame: &AudioFrame) -> Result<&[u8]>;

    /// In bits a second; what is out of the codec's range is brought into it.
    fn set_bitrate(&mut self, bps: u32) -> Result<()>;

    /// Discontinuous transmission: while nobody talks, packets are such that need not be sent
    /// ([`is_silence`](crate::media::opus::is_silence)), but for one every 400 ms with the noise of the room.
    fn set_dtx(&mut self, on: bool) -> Result<()>;

    /// What the receivers lose, 0 to 100: it sets how much is spent on forward error correction.
    fn set_loss_percent(&mut self, percent: u8) -> Result<()>;
}

/// Packets to samples of 48 kHz mono.
pub trait AudioDecoder: Send {
    /// Decodes a packet into the beginning of `out` and answers with the samples written. `out` should hold
    /// [`MAX_PACKET_SAMPLES`](crate::media::opus::MAX_PACKET_SAMPLES). Fails with `codec` on a damaged packet.
    fn decode(&mut self, packet: &[u8], out: &mut [i16]) -> Result<usize>;

    /// Recovers the packet before `successor` from the forward error correction in it, and fills `out`, a multiple of
    /// 2.5 ms; conceals when there is none in it.
    fn recover(&mut self, successor: &[u8], out: &mut [i16]) -> Result<()>;

    /// Fills `out`, a multiple of 2.5 ms, with what is likely to have been said.
    fn conceal(&mut self, out: &mut [i16]) -> Result<()>;
}

/// One encoded picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedVideo<'a> {
    pub data: &'a [u8],
    pub key: bool,
}

/// Pictures to encoded ones.
pub trait VideoEncoder: Send {
    /// Encodes a picture that is shown at `time`; of another size than the one before, it becomes a key frame. The
    /// answer is valid until the next call; `None`: the picture was left out to hold the bitrate.
    fn encode(&mut self, frame: &VideoFrame, time: Duration, key: bool) -> Result<Option<EncodedVideo<'_>>>;

    /// In bits a second, from the next picture on.
    fn set_bitrate(&mut self, bps: u32) -> Result<()>;
}

/// Encoded pictures to pictures.
pub trait VideoDecoder: Send {
    /// Decodes a picture; the answer, with `timestamp`, is valid until the next call. `None`: it is not to be shown.
    /// Fails with `codec` on what is damaged or too large; a key frame puts that right.
    fn decode(&mut self, data: &[u8], timestamp: Duration) -> Result<Option<&VideoFrame>>;
}
