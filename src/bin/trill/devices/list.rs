//! The list of devices, for people and for scripts.

use crate::output;
use serde_json::json;
use trill::base::Result;
use trill::device::camera::{self, Camera, CameraFormat};
use trill::device::sound::{self, SoundDevice, SoundFormats};

pub fn list(in_json: bool) {
    let (microphones, speakers, cameras) = (sound::microphones(), sound::speakers(), camera::cameras());
    if in_json {
        let all = |devices: Result<Vec<SoundDevice>>, formats: Ask| {
            let devices = devices.unwrap_or_default();
            devices.iter().map(|device| describe_sound_device(device, formats)).collect::<Vec<_>>()
        };
        let microphones = all(microphones, sound::microphone_formats);
        let speakers = all(speakers, sound::speaker_formats);
        let cameras: Vec<_> = cameras.unwrap_or_default().into_iter().map(describe_camera).collect();
        output::line(json!({"microphones": microphones, "speakers": speakers, "cameras": cameras}));
        return;
    }
    print_sound_devices("microphone", "microphones", microphones, sound::microphone_formats);
    print_sound_devices("speaker", "speakers", speakers, sound::speaker_formats);
    print_cameras(cameras);
}

/// What the device of a name or id can.
type Ask = fn(Option<&str>) -> Result<SoundFormats>;

fn describe_sound_device(device: &SoundDevice, formats: Ask) -> serde_json::Value {
    let mut told = json!({"name": device.name, "id": device.id, "default": device.is_default});
    match formats(Some(&device.id)) {
        Ok(formats) => {
            let all = formats.all.iter().map(|format| {
                json!({"channels": format.channels, "min_rate": format.rates.start(), "max_rate": format.rates.end()})
            });
            told["formats"] = all.collect();
            told["opened_with"] = json!({"channels": formats.channels, "rate": formats.rate});
        }
        Err(error) => told["error"] = error.message().into(),
    }
    told
}

fn print_sound_devices(one: &str, many: &str, devices: Result<Vec<SoundDevice>>, formats: Ask) {
    match devices {
        Ok(devices) if devices.is_empty() => println!("This machine has no {one}."),
        Ok(mut devices) => {
            devices.sort_by_key(|device| !device.is_default);
            println!("{}{}:", many[..1].to_uppercase(), &many[1..]);
            let width = devices.iter().map(|device| device.name.chars().count()).max().unwrap_or(0);
            for device in devices {
                let mark = if device.is_default { '*' } else { ' ' };
                println!("  {mark} {:width$}  {}", device.name, device.id);
                match formats(Some(&device.id)) {
                    Ok(formats) => println!("      {}", in_words(&formats)),
                    Err(error) => println!("      {}", error.message()),
                }
            }
        }
        Err(error) => println!("No {one} can be used: {error}"),
    }
}

/// Such as `1-2 channels at 44.1, 48 kHz; opened with 2 at 48 kHz`.
fn in_words(formats: &SoundFormats) -> String {
    let khz = |hz: u32| f64::from(hz) / 1000.0;
    let channels = formats.all.iter().map(|format| format.channels);
    let channels = match (channels.clone().min(), channels.max()) {
        (Some(1), Some(1)) => "1 channel".to_owned(),
        (Some(least), Some(most)) if least == most => format!("{most} channels"),
        (Some(least), Some(most)) => format!("{least}-{most} channels"),
        _ => "no channels".to_owned(),
    };
    let mut rates: Vec<_> = formats.all.iter().map(|format| (*format.rates.start(), *format.rates.end())).collect();
    rates.sort_unstable();
    rates.dedup();
    let rates: Vec<String> = rates
        .into_iter()
        .map(|(low, high)| if low == high { khz(low).to_string() } else { format!("{}-{}", khz(low), khz(high)) })
        .collect();
    format!("{channels} at {} kHz; opened with {} at {} kHz", rates.join(", "), formats.channels, khz(formats.rate))
}

fn describe_camera(camera: Camera) -> serde_json::Value {
    let formats = camera::formats(&camera).unwrap_or_default().into_iter();
    let format = |format: CameraFormat| {
        let (pixels, width, height) = (format.pixels.name(), format.width, format.height);
        json!({"pixels": pixels, "width": width, "height": height, "fps": format.fps})
    };
    json!({"name": camera.name, "id": camera.id, "formats": formats.map(format).collect::<Vec<_>>()})
}

fn print_cameras(cameras: Result<Vec<Camera>>) {
    match cameras {
        Ok(cameras) if cameras.is_empty() => println!("This machine has no camera."),
        Ok(cameras) => {
            println!("Cameras:");
            for (n, camera) in cameras.into_iter().enumerate() {
                let mark = if n == 0 { '*' } else { ' ' };
                let largest =
                    |formats: Vec<CameraFormat>| formats.into_iter().max_by_key(|f| (f.width * f.height, f.fps));
                let can = match camera::formats(&camera).map(largest) {
                    Ok(Some(most)) => format!("up to {}x{} at {} pictures a second", most.width, most.height, most.fps),
                    Ok(None) => "only formats that are not supported".to_owned(),
                    Err(error) => error.to_string(),
                };
                println!("  {mark} {}  {}  {can}", camera.name, camera.id);
            }
        }
        Err(error) => println!("No camera can be used: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trill::device::sound::SoundFormat;

    #[test]
    fn what_a_sound_device_can_is_told_in_words() {
        let told = |rate, all: &[(u16, u32, u32)]| {
            let all = all.iter().map(|(channels, low, high)| SoundFormat { channels: *channels, rates: *low..=*high });
            in_words(&SoundFormats { channels: 2, rate, all: all.collect() })
        };
        let card = [(1, 44_100, 44_100), (1, 48_000, 48_000), (2, 44_100, 44_100), (2, 48_000, 48_000)];
        assert_eq!(told(48_000, &card), "1-2 channels at 44.1, 48 kHz; opened with 2 at 48 kHz");
        assert_eq!(told(44_100, &[(2, 4_000, 384_000)]), "2 channels at 4-384 kHz; opened with 2 at 44.1 kHz");
    }
}
