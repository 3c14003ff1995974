//! Y4M files (YUV4MPEG2) as a camera and as a screen.
//!
//! The reader is our own: the crates at hand do not bound the size that a header states, or do not know the 4:2:0
//! variants that ffmpeg writes.

use super::pace::Pacer;
use super::{Next, VideoSink, VideoSource, create_file, file_error, open_file, write_error};
use crate::base::{Error, Result};
use crate::media::frame::{MAX_VIDEO_SIDE, VideoFrame};
use crate::media::scale::Scaler;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SUPPORTED: &str = "Y4M files of 8-bit 4:2:0, up to 8192x8192 at up to 120 fps, can be played \
     (make one with: ffmpeg -i INPUT -pix_fmt yuv420p OUTPUT.y4m)";

/// The longest line of a header.
const MAX_LINE: u64 = 1024;

/// Plays a Y4M file in real time, at the rate that it states.
pub struct Y4mSource {
    path: PathBuf,
    reader: BufReader<File>,
    header: Header,
    /// Where the first frame begins.
    begin: u64,
    looped: bool,
    number: u64,
    ended: bool,
    pacer: Pacer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    width: u32,
    height: u32,
    /// Frames in so many seconds.
    rate: (u32, u32),
}

impl Y4mSource {
    /// Fails with `media_file`, saying what is wrong with the file and what is supported.
    pub fn open(path: &Path, looped: bool) -> Result<Self> {
        let refuse = |problem: String| file_error(path, problem, SUPPORTED);
        let mut reader = BufReader::with_capacity(256 * 1024, open_file(path, SUPPORTED)?);
        let line = read_line(&mut reader).map_err(|e| refuse(format!("cannot be read: {e}")))?;
        let header = Header::parse(&line).map_err(refuse)?;
        let begin = line.len() as u64 + 1;
        let pacer = Pacer::new(header.rate.0, header.rate.1);
        let mut this = Self { path: path.into(), reader, header, begin, looped, number: 0, ended: false, pacer };
        let mut first = VideoFrame::black(header.width, header.height)?;
        if !this.read(&mut first)? {
            return Err(refuse("has no picture in it".into()));
        }
        this.rewind()?;
        Ok(this)
    }

    /// Width and height, in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.header.width, self.header.height)
    }

    /// Reads the next frame. False: the file is over, maybe in the middle of a frame, as recordings are.
    fn read(&mut self, frame: &mut VideoFrame) -> Result<bool> {
        let line = self.io(read_line)?;
        if line.is_empty() {
            return Ok(false);
        }
        if line != b"FRAME" && !line.starts_with(b"FRAME ") {
            return Err(file_error(&self.path, "has something else where a frame should begin", SUPPORTED));
        }
        frame.resize(self.header.width, self.header.height)?;
        for plane in frame.planes_mut() {
            match self.reader.read_exact(plane) {
                Ok(()) => {}
                Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
                Err(e) => return Err(self.read_error(e)),
            }
        }
        Ok(true)
    }

    fn rewind(&mut self) -> Result<()> {
        let begin = self.begin;
        self.io(|reader| reader.seek(SeekFrom::Start(begin))).map(drop)
    }

    fn io<T>(&mut self, run: impl FnOnce(&mut BufReader<File>) -> std::io::Result<T>) -> Result<T> {
        run(&mut self.reader).map_err(|e| self.read_error(e))
    }

    fn read_error(&self, error: std::io::Error) -> Error {
        file_error(&self.path, format!("cannot be read on: {error}"), SUPPORTED)
    }
}

impl VideoSource for Y4mSource {
    fn next_frame(&mut self, frame: &mut VideoFrame) -> Result<Next> {
        if self.ended {
            return Ok(Next::Ended);
        }
        if !self.pacer.wait() {
            return Ok(Next::Nothing);
        }
        if !self.read(frame)? {
            let again = self.looped && {
                self.rewind()?;
                self.read(frame)?
            };
            if !again {
                self.ended = true;
                return Ok(Next::Ended);
            }
        }
        let (frames, seconds) = self.header.rate;
        frame.timestamp = Duration::from_secs_f64(self.number as f64 * f64::from(seconds) / f64::from(frames));
        self.number += 1;
        Ok(Next::Frame)
    }

    fn resume(&mut self) {
        self.pacer.restart();
    }
}

impl Header {
    /// The first line, or what is wrong with it.
    fn parse(line: &[u8]) -> Result<Self, String> {
        let line = std::str::from_utf8(line).map_err(|_| "is not a Y4M file".to_owned())?;
        let mut words = line.split(' ');
        if words.next() != Some("YUV4MPEG2") {
            return Err("is not a Y4M file".into());
        }
        let (mut width, mut height, mut rate) = (0, 0, (25, 1));
        for word in words.filter(|word| !word.is_empty()) {
            let (tag, value) = word.split_at_checked(1).ok_or("has a header that cannot be read")?;
            let number = || value.parse::<u32>().map_err(|_| format!("has a header with {word:?} in it"));
            match tag {
                "W" => width = number()?,
                "H" => height = number()?,
                "F" => {
                    let (frames, seconds) = value.split_once(':').unwrap_or((value, "1"));
                    rate = match (frames.parse(), seconds.parse()) {
                        (Ok(frames), Ok(seconds)) => (frames, seconds),
                        _ => return Err(format!("has a frame rate of {value:?}")),
                    };
                }
                // 4:2:0 with 8 bits: the variants differ in where the colour samples sit, by half a pixel at most.
                "C" if !["420", "420jpeg", "420mpeg2", "420paldv"].contains(&value) => {
                    return Err(format!("has pictures of the kind {value:?}"));
                }
                "I" if !["p", "?"].contains(&value) => return Err("is interlaced".into()),
                _ => {}
            }
        }
        let sides = 1..=MAX_VIDEO_SIDE;
        if !sides.contains(&width) || !sides.contains(&height) {
            return Err(format!("has pictures of {width}x{height}"));
        }
        let (frames, seconds) = rate;
        if frames == 0 || seconds == 0 || frames / seconds > 120 {
            return Err(format!("has a frame rate of {frames}:{seconds}"));
        }
        Ok(Self { width, height, rate })
    }
}

/// A line without its end; empty at the end of the file.
fn read_line(reader: &mut BufReader<File>) -> std::io::Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(line)
}

/// Recordings have a constant rate, in frames a second.
const RECORDED_FPS: u64 = 30;
/// A picture that stands is repeated for so long at most, in frames.
const MAX_REPEATS: u64 = 10 * RECORDED_FPS;

/// Records at 30 frames a second by the pictures' timestamps: what comes more often is left out, what stands is
/// repeated, so that the file lasts as long as what it shows. The first picture's size is the file's; others are scaled
/// to it.
pub struct Y4mSink {
    path: PathBuf,
    file: BufWriter<File>,
    scaler: Scaler,
    /// The picture to be written next, of the file's size, and the first slot that it is for.
    pending: Option<(VideoFrame, u64)>,
    first: Option<Duration>,
}

impl Y4mSink {
    /// Fails with `media_file` when the file cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let file = BufWriter::with_capacity(256 * 1024, create_file(path)?);
        Ok(Self { path: path.into(), file, scaler: Scaler::default(), pending: None, first: None })
    }

    fn write(&mut self, times: u64) -> Result<()> {
        let Some((picture, _)) = &self.pending else { return Ok(()) };
        for _ in 0..times {
            self.file
                .write_all(b"FRAME\n")
                .and_then(|()| self.file.write_all(picture.data()))
                .map_err(|e| write_error(&self.path, e))?;
        }
        Ok(())
    }
}

impl VideoSink for Y4mSink {
    fn show(&mut self, frame: &VideoFrame) -> Result<()> {
        let first = *self.first.get_or_insert(frame.timestamp);
        let slot = (frame.timestamp.saturating_sub(first).as_millis() as u64 * RECORDED_FPS + 500) / 1000;
        match &self.pending {
            None => {
                let (width, height) = (frame.width(), frame.height());
                writeln!(self.file, "YUV4MPEG2 W{width} H{height} F{RECORDED_FPS}:1 Ip A1:1 C420jpeg")
                    .map_err(|e| write_error(&self.path, e))?;
                self.pending = Some((frame.clone(), slot));
                return Ok(());
            }
            Some((_, pending)) if slot > *pending => self.write((slot - pending).min(MAX_REPEATS))?,
            Some(_) => {}
        }
        if let Some((picture, pending)) = &mut self.pending {
            *pending = slot.max(*pending);
            if (picture.width(), picture.height()) == (frame.width(), frame.height()) {
                picture.copy_from(frame);
            } else {
                self.scaler.scale(frame, picture)?;
            }
        }
        Ok(())
    }
}

impl Drop for Y4mSink {
    fn drop(&mut self) {
        let written = self.write(1).and_then(|()| self.file.flush().map_err(|e| write_error(&self.path, e)));
        if let Err(error) = written {
            tracing::warn!(%error, "the end of a recording could not be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ErrorCode;

    fn file(header: &str, frames: &[u8], size: usize) -> Vec<u8> {
        let mut bytes = header.as_bytes().to_vec();
        for value in frames {
            bytes.extend_from_slice(b"FRAME\n");
            bytes.extend(std::iter::repeat_n(*value, size));
        }
        bytes
    }

    fn play(source: &mut Y4mSource, most: usize) -> Vec<(u8, Duration)> {
        let mut frame = VideoFrame::black(2, 2).unwrap();
        let mut seen = Vec::new();
        while seen.len() < most {
            match source.next_frame(&mut frame).unwrap() {
                Next::Frame => seen.push((frame.data()[0], frame.timestamp)),
                Next::Nothing => {}
                Next::Ended => break,
            }
        }
        seen
    }

    #[test]
    fn a_file_plays_at_its_rate_once_or_over_and_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.y4m");
        std::fs::write(&path, file("YUV4MPEG2 W5 H3 F100:1 Ip A1:1 C420mpeg2 XYSCSS=420\n", &[1, 2, 3], 27)).unwrap();
        let mut source = Y4mSource::open(&path, false).unwrap();
        assert_eq!(source.size(), (5, 3));
        let ms = Duration::from_millis;
        assert_eq!(play(&mut source, 10), [(1, ms(0)), (2, ms(10)), (3, ms(20))]);
        let looped: Vec<u8> = play(&mut Y4mSource::open(&path, true).unwrap(), 7).into_iter().map(|f| f.0).collect();
        assert_eq!(looped, [1, 2, 3, 1, 2, 3, 1]);
    }

    #[test]
    fn a_last_frame_that_is_cut_short_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.y4m");
        let mut bytes = file("YUV4MPEG2 W4 H2 F100:1\n", &[1, 2], 12);
        bytes.truncate(bytes.len() - 3);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(play(&mut Y4mSource::open(&path, false).unwrap(), 10).len(), 1);
    }

    #[test]
    fn what_is_not_a_playable_y4m_file_is_named_with_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("film.mp4");
        let refused = |bytes: &[u8], why: &str| {
            std::fs::write(&path, bytes).unwrap();
            let error = Y4mSource::open(&path, false).err().unwrap();
            assert_eq!(error.code(), ErrorCode::MediaFile);
            assert!(error.message().contains(why) && error.message().contains("film.mp4"), "{error}");
            assert!(error.message().contains("ffmpeg"), "{error}");
        };
        refused(b"", "not a Y4M file");
        refused(&[0, 0, 0, 0x20, b'f', b't', b'y', b'p', 0xff], "not a Y4M file");
        refused(b"YUV4MPEG2 W4 H4 F25:1 C444\nFRAME\n", "\"444\"");
        refused(b"YUV4MPEG2 W4 H4 F25:1 C420p10\nFRAME\n", "420p10");
        refused(b"YUV4MPEG2 W4 H4 F25:1 It\nFRAME\n", "interlaced");
        refused(b"YUV4MPEG2 W99999999999999999999 H4\nFRAME\n", "W99999999999999999999");
        refused(b"YUV4MPEG2 W99999 H4\nFRAME\n", "99999x4");
        refused(b"YUV4MPEG2 H4\nFRAME\n", "0x4");
        refused(b"YUV4MPEG2 W4 H4 F0:0\nFRAME\n", "0:0");
        refused(b"YUV4MPEG2 W4 H4 F25:1\n", "no picture");
        refused(b"YUV4MPEG2 W4 H4 F25:1\nNOFRAME", "something else");
        std::fs::remove_file(&path).unwrap();
        assert!(Y4mSource::open(&path, false).err().unwrap().message().contains("cannot be opened"));
    }

    #[test]
    fn a_recording_lasts_as_long_as_what_it_shows_and_keeps_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.y4m");
        let mut sink = Y4mSink::create(&path).unwrap();
        let mut show = |ms, width, height| {
            let mut frame = VideoFrame::black(width, height).unwrap();
            frame.timestamp = Duration::from_millis(ms);
            sink.show(&frame).unwrap();
        };
        // 30 a second, then one that stands for half a second, then a burst, then a larger one.
        (0..15).for_each(|n| show(7000 + n * 1000 / 30, 8, 6));
        show(8000, 8, 6);
        show(8001, 8, 6);
        show(8002, 16, 12);
        drop(sink);
        let bytes = std::fs::read(&path).unwrap();
        let header = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
        assert_eq!((bytes.len() - header) % (6 + 72), 0);
        assert_eq!((bytes.len() - header) / (6 + 72), 31);
        assert!(Y4mSource::open(&path, false).is_ok());
    }
}
