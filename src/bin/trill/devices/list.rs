//! The list of devices, for people and for scripts.

use crate::output;
use serde_json::json;
use trill::base::Result;
use trill::device::camera::{self, Camera, CameraFormat};
use trill::device::sound::{self, SoundDevice};

pub fn list(in_json: bool) {
    let (microphones, speakers, cameras) = (sound::microphones(), sound::speakers(), camera::cameras());
    if in_json {
        let all = |devices: Result<Vec<SoundDevice>>| {
            let devices = devices.unwrap_or_default().into_iter();
            devices.map(|d| json!({"name": d.name, "id": d.id, "default": d.is_default})).collect::<Vec<_>>()
        };
        let cameras: Vec<_> = cameras.unwrap_or_default().into_iter().map(describe_camera).collect();
        output::line(json!({"microphones": all(microphones), "speakers": all(speakers), "cameras": cameras}));
        return;
    }
    print_sound_devices("microphone", "microphones", microphones);
    print_sound_devices("speaker", "speakers", speakers);
    print_cameras(cameras);
}

fn print_sound_devices(one: &str, many: &str, devices: Result<Vec<SoundDevice>>) {
    match devices {
        Ok(devices) if devices.is_empty() => println!("This machine has no {one}."),
        Ok(mut devices) => {
            devices.sort_by_key(|device| !device.is_default);
            println!("{}{}:", many[..1].to_uppercase(), &many[1..]);
            let width = devices.iter().map(|device| device.name.chars().count()).max().unwrap_or(0);
            for device in devices {
                let mark = if device.is_default { '*' } else { ' ' };
                println!("  {mark} {:width$}  {}", device.name, device.id);
            }
        }
        Err(error) => println!("No {one} can be used: {error}"),
    }
}

fn describe_camera(camera: Camera) -> serde_json::Value {
    let formats = camera::formats(&camera).unwrap_or_default().into_iter();
    let format = |format: CameraFormat| {
        let pixels = format!("{:?}", format.pixels).to_lowercase();
        json!({"pixels": pixels, "width": format.width, "height": format.height, "fps": format.fps})
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
