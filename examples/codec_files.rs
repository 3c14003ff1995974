//! Encodes and decodes files as a call does frames, and nothing else: what `scripts/codecs` compares with the codecs' own
//! programs.
//!
//!     codec_files vp8-encode IN.y4m OUT.ivf KBPS
//!     codec_files vp8-decode IN.ivf
//!     codec_files opus-encode IN.s16 OUT.bit BPS LOSS-PERCENT
//!     codec_files opus-decode IN.bit
//!
//! Y4M is of 8-bit 4:2:0, IVF as vpxenc writes it, s16 is 48 kHz mono, and bit is the form of opus_demo. Prints how many
//! frames it took.

use std::error::Error;
use std::fs;
use std::time::Duration;
use trill::codec::opus::{OpusDecoder, OpusEncoder};
use trill::codec::vp8::{Vp8Decoder, Vp8Encoder};
use trill::codec::{AudioDecoder, AudioEncoder, VideoDecoder, VideoEncoder};
use trill::media::frame::{AudioFrame, FRAME_SAMPLES, VideoFrame};
use trill::media::opus::MAX_PACKET_SAMPLES;

const IVF_HEADER: usize = 32;
const IVF_FRAME_HEADER: usize = 12;

type Done = Result<usize, Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let frames = match given[..] {
        ["vp8-encode", from, to, kbps] => vp8_encode(from, to, kbps.parse()?)?,
        ["vp8-decode", from] => vp8_decode(from)?,
        ["opus-encode", from, to, bps, loss] => opus_encode(from, to, bps.parse()?, loss.parse()?)?,
        ["opus-decode", from] => opus_decode(from)?,
        _ => {
            return Err(
                "usage: codec_files vp8-encode|vp8-decode|opus-encode|opus-decode FILES... (see its source)".into()
            );
        }
    };
    println!("{frames} frames");
    Ok(())
}

fn vp8_encode(from: &str, to: &str, kbps: u32) -> Done {
    let file = fs::read(from)?;
    let end = file.iter().position(|byte| *byte == b'\n').ok_or("no Y4M header")?;
    let header = std::str::from_utf8(&file[..end])?;
    let tag = |letter: char| {
        let word = header.split(' ').skip(1).find_map(|word| word.strip_prefix(letter));
        word.ok_or_else(|| format!("the Y4M header has no {letter}"))
    };
    let (width, height): (u32, u32) = (tag('W')?.parse()?, tag('H')?.parse()?);
    let (rate, scale) = tag('F')?.split_once(':').ok_or("a rate is A:B")?;
    let (rate, scale): (u32, u32) = (rate.parse()?, scale.parse()?);
    let mut encoder = Vp8Encoder::new(kbps * 1000, rate / scale);
    let mut frame = VideoFrame::black(width, height)?;
    let length = frame.data().len();
    let mut out = Vec::new();
    out.extend(b"DKIF\0\0\x20\0VP80");
    out.extend((width as u16).to_le_bytes());
    out.extend((height as u16).to_le_bytes());
    [rate, scale, 0, 0].iter().for_each(|field: &u32| out.extend(field.to_le_bytes()));
    let mut count = 0;
    for picture in file[end + 1..].chunks_exact(length + 6) {
        let (mut rest, time) = (&picture[6..], Duration::from_secs(u64::from(count * scale)) / rate);
        for plane in frame.planes_mut() {
            let (this, others) = rest.split_at(plane.len());
            plane.copy_from_slice(this);
            rest = others;
        }
        if let Some(encoded) = encoder.encode(&frame, time, false)? {
            out.extend((encoded.data.len() as u32).to_le_bytes());
            out.extend(u64::from(count).to_le_bytes());
            out.extend(encoded.data);
        }
        count += 1;
    }
    fs::write(to, out)?;
    Ok(count as usize)
}

fn vp8_decode(from: &str) -> Done {
    let file = fs::read(from)?;
    let mut rest = file.get(IVF_HEADER..).ok_or("no IVF header")?;
    let (mut decoder, mut count) = (Vp8Decoder::new()?, 0);
    while let Some((header, data)) = rest.split_at_checked(IVF_FRAME_HEADER) {
        let length = u32::from_le_bytes(header[..4].try_into()?) as usize;
        let (frame, others) = data.split_at_checked(length).ok_or("the IVF file is cut short")?;
        decoder.decode(frame, Duration::ZERO)?;
        (rest, count) = (others, count + 1);
    }
    Ok(count)
}

fn opus_encode(from: &str, to: &str, bps: u32, loss: u8) -> Done {
    let file = fs::read(from)?;
    let mut encoder = OpusEncoder::new(bps)?;
    encoder.set_loss_percent(loss)?;
    let (mut out, mut count) = (Vec::new(), 0);
    for bytes in file.chunks_exact(FRAME_SAMPLES * 2) {
        let frame =
            AudioFrame { samples: std::array::from_fn(|n| i16::from_le_bytes([bytes[2 * n], bytes[2 * n + 1]])) };
        let packet = encoder.encode(&frame)?;
        out.extend((packet.len() as u32).to_be_bytes());
        // The range coder's final state, for a check that 0 turns off.
        out.extend([0; 4]);
        out.extend(packet);
        count += 1;
    }
    fs::write(to, out)?;
    Ok(count)
}

fn opus_decode(from: &str) -> Done {
    let file = fs::read(from)?;
    let (mut decoder, mut out, mut rest, mut count) = (OpusDecoder::new()?, [0; MAX_PACKET_SAMPLES], &file[..], 0);
    while let Some((header, data)) = rest.split_at_checked(8) {
        let length = u32::from_be_bytes(header[..4].try_into()?) as usize;
        let (packet, others) = data.split_at_checked(length).ok_or("the file is cut short")?;
        decoder.decode(packet, &mut out)?;
        (rest, count) = (others, count + 1);
    }
    Ok(count)
}
