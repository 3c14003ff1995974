//! `trill devices`: what this machine has to hear, speak and see with, and whether it works.

mod list;
mod tryout;

use crate::output;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
use trill::base::Result;
use tryout::Tryout;

/// List microphones, speakers and cameras, or try one out
#[derive(Args)]
pub struct DevicesCommand {
    /// JSON lines instead of text
    #[arg(long)]
    json: bool,
    /// Show how loud a microphone hears, for some seconds: the default one, or the one of that name or id
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = DEFAULT, group = "test")]
    test_microphone: Option<String>,
    /// Play a tone on a speaker: the default one, or the one of that name or id
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = DEFAULT, group = "test")]
    test_speaker: Option<String>,
    /// Hear yourself: what the default microphone hears is played on the default speaker, half a second late
    #[arg(long, group = "test")]
    test_loopback: bool,
    /// Write a camera's picture to --picture: the default one's, or that of the one of that name or id
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = DEFAULT, group = "test")]
    test_camera: Option<String>,
    /// Where the picture goes
    #[arg(long, default_value = "camera.png", value_name = "PNG")]
    picture: PathBuf,
    /// How long a test lasts, such as 5s or 1m
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration, value_name = "TIME")]
    time: Duration,
}

/// In the place of a name.
const DEFAULT: &str = "default";

impl DevicesCommand {
    pub fn run(self) -> Result<()> {
        output::start_log(self.json, "trill=error");
        let tryout = Tryout { json: self.json, time: self.time };
        if let Some(name) = &self.test_microphone {
            tryout.microphone(chosen(name))
        } else if let Some(name) = &self.test_speaker {
            tryout.speaker(chosen(name))
        } else if self.test_loopback {
            tryout.loopback()
        } else if let Some(name) = &self.test_camera {
            tryout.camera(chosen(name), &self.picture)
        } else {
            list::list(self.json);
            Ok(())
        }
    }
}

fn chosen(name: &str) -> Option<String> {
    (name != DEFAULT).then(|| name.to_owned())
}
