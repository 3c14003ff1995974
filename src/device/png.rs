//! Snapshots of what is shown, as PNG files.

use super::{VideoSink, create_file, file_error, refuse_pipe, write_error};
use crate::base::{Error, ErrorCode, Result};
use crate::media::frame::VideoFrame;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;
use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix};

/// A forgotten snapshot sink does not fill the disk.
const MAX_SNAPSHOTS: u32 = 10_000;

/// Writes a picture every so often, or the last one.
pub struct PngSink {
    path: PathBuf,
    every: Option<Duration>,
    last: VideoFrame,
    seen: bool,
    next: Duration,
    written: u32,
}

impl PngSink {
    /// With `every`: `name-0001.png`, `name-0002.png` beside `path`, the first picture and then one each time that so
    /// much media time has passed. Without: the last picture, written to `path` when the sink is dropped. Fails with
    /// `media_file` when the folder does not exist, with `invalid_argument` when `every` is under 100 ms.
    pub fn create(path: &Path, every: Option<Duration>) -> Result<Self> {
        if every.is_some_and(|every| every < Duration::from_millis(100)) {
            return Err(Error::new(ErrorCode::InvalidArgument, "snapshots are at least 100 ms apart"));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(file_error(path, "cannot be written: its folder does not exist", "make it first"));
        }
        if every.is_none() {
            refuse_pipe(path)?;
        }
        let last = VideoFrame::black(2, 2)?;
        Ok(Self { path: path.into(), every, last, seen: false, next: Duration::ZERO, written: 0 })
    }
}

impl VideoSink for PngSink {
    fn show(&mut self, frame: &VideoFrame) -> Result<()> {
        let Some(every) = self.every else {
            self.last.copy_from(frame);
            self.seen = true;
            return Ok(());
        };
        if self.written > 0 && frame.timestamp < self.next || self.written >= MAX_SNAPSHOTS {
            return Ok(());
        }
        self.next = frame.timestamp + every;
        self.written += 1;
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        write_png(frame, &self.path.with_file_name(format!("{stem}-{:04}.png", self.written)))
    }
}

impl Drop for PngSink {
    fn drop(&mut self) {
        if self.seen
            && let Err(error) = write_png(&self.last, &self.path)
        {
            tracing::warn!(%error, "the last picture could not be written");
        }
    }
}

/// Writes a picture as PNG. VP8's colours are those of BT.601, limited range. Fails with `media_file`.
pub fn write_png(frame: &VideoFrame, path: &Path) -> Result<()> {
    let (width, height) = (frame.width(), frame.height());
    let [y_plane, u_plane, v_plane] = frame.planes();
    let chroma = frame.chroma_stride() as u32;
    let image = YuvPlanarImage {
        y_plane,
        y_stride: width,
        u_plane,
        u_stride: chroma,
        v_plane,
        v_stride: chroma,
        width,
        height,
    };
    let mut rgb = vec![0; width as usize * height as usize * 3];
    yuv::yuv420_to_rgb(&image, &mut rgb, width * 3, YuvRange::Limited, YuvStandardMatrix::Bt601)
        .map_err(|e| Error::new(ErrorCode::Internal, format!("a picture into RGB: {e}")))?;
    let failed = |e: png::EncodingError| write_error(path, e);
    let mut encoder = png::Encoder::new(BufWriter::new(create_file(path)?), width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&rgb).map_err(failed)?;
    writer.finish().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(value: u8, ms: u64) -> VideoFrame {
        let mut frame = VideoFrame::black(6, 4).unwrap();
        frame.planes_mut()[0].fill(value);
        frame.timestamp = Duration::from_millis(ms);
        frame
    }

    fn first_pixel(path: &Path) -> [u8; 3] {
        let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap()));
        let mut reader = decoder.read_info().unwrap();
        assert_eq!((reader.info().width, reader.info().height), (6, 4));
        let mut pixels = [0; 6 * 4 * 3];
        reader.next_frame(&mut pixels).unwrap();
        pixels[..3].try_into().unwrap()
    }

    #[test]
    fn the_last_picture_is_written_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("last.png");
        let mut sink = PngSink::create(&path, None).unwrap();
        sink.show(&grey(40, 0)).unwrap();
        sink.show(&grey(235, 1)).unwrap();
        assert!(!path.exists());
        drop(sink);
        assert_eq!(first_pixel(&path), [255, 255, 255]);
    }

    #[test]
    fn snapshots_come_at_their_interval() {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = PngSink::create(&dir.path().join("shot.png"), Some(Duration::from_secs(1))).unwrap();
        for ms in (5000..7500).step_by(100) {
            sink.show(&grey(16, ms)).unwrap();
        }
        drop(sink);
        let mut names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["shot-0001.png", "shot-0002.png", "shot-0003.png"]);
        assert_eq!(first_pixel(&dir.path().join("shot-0001.png")), [0, 0, 0]);
    }

    #[test]
    fn a_folder_that_does_not_exist_is_told_at_once() {
        let error = PngSink::create(Path::new("/no/such/folder/a.png"), None).err().unwrap();
        assert_eq!(error.code(), ErrorCode::MediaFile);
    }
}
