//! Voice processing.
//!
//! What is done to our voice before it is sent. By default all of it to a microphone's, and nothing to any other source's.

use super::boundary::{Out, invalid, session_in, with_engine};
use super::engine::trill_engine;
use super::library::trill_error;
use crate::base::Result;
use crate::processing::VoiceProcessing;
use std::ffi::c_char;

/// Takes what the speaker plays out of what the microphone hears.
pub const TRILL_VOICE_ECHO_CANCELLATION: i32 = 1;
/// Takes steady noise down.
pub const TRILL_VOICE_NOISE_SUPPRESSION: i32 = 2;
/// Brings a soft or distant voice to a level that is easy to hear.
pub const TRILL_VOICE_GAIN_CONTROL: i32 = 4;
/// Takes out what lies below a voice: rumble, wind and hum.
pub const TRILL_VOICE_HIGH_PASS: i32 = 8;
/// Nothing is done: the sound passes as it is. Not together with others.
pub const TRILL_VOICE_NONE: i32 = 16;

/// Says what is done to our voice from the next 20 ms on.
///
/// session_id: read during the call. processing: TRILL_VOICE_* added up, or TRILL_VOICE_NONE.
///
/// Status: TRILL_STATUS_SESSION_NOT_FOUND, TRILL_STATUS_INVALID_ARGUMENT (processing). Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_session_set_voice_processing(
    engine: *mut trill_engine,
    session_id: *const c_char,
    processing: i32,
    error: *mut *mut trill_error,
) -> i32 {
    with_engine(engine, error, |handle| {
        let (id, processing) = (session_in(session_id)?, voice_in(processing, "processing")?);
        handle.engine(|engine| engine.set_voice_processing(&id, processing))?
    })
}

/// What is done to our voice.
///
/// session_id: read during the call. out: set to TRILL_VOICE_* added up, or to TRILL_VOICE_NONE.
///
/// Status: TRILL_STATUS_SESSION_NOT_FOUND. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_session_voice_processing(
    engine: *mut trill_engine,
    session_id: *const c_char,
    out: *mut i32,
    error: *mut *mut trill_error,
) -> i32 {
    with_engine(engine, error, |handle| {
        let (id, out) = (session_in(session_id)?, Out::new(out, "out")?);
        out.set(number(handle.engine(|engine| engine.voice_processing(&id))??));
        Ok(())
    })
}

/// What those bits ask for. Errors: `invalid_argument`.
pub(super) fn voice_in(bits: i32, name: &str) -> Result<VoiceProcessing> {
    let all = number(VoiceProcessing::ALL);
    let has = |bit| bits & bit != 0;
    match bits {
        TRILL_VOICE_NONE => Ok(VoiceProcessing::NONE),
        bits if bits != 0 && bits & !all == 0 => Ok(VoiceProcessing {
            echo_cancellation: has(TRILL_VOICE_ECHO_CANCELLATION),
            noise_suppression: has(TRILL_VOICE_NOISE_SUPPRESSION),
            gain_control: has(TRILL_VOICE_GAIN_CONTROL),
            high_pass: has(TRILL_VOICE_HIGH_PASS),
        }),
        _ => Err(invalid(format!("{name} is {bits}; it must be TRILL_VOICE_* added up, or TRILL_VOICE_NONE"))),
    }
}

fn number(voice: VoiceProcessing) -> i32 {
    let parts = [
        (voice.echo_cancellation, TRILL_VOICE_ECHO_CANCELLATION),
        (voice.noise_suppression, TRILL_VOICE_NOISE_SUPPRESSION),
        (voice.gain_control, TRILL_VOICE_GAIN_CONTROL),
        (voice.high_pass, TRILL_VOICE_HIGH_PASS),
    ];
    match parts.iter().filter(|(on, _)| *on).map(|(_, bit)| bit).sum() {
        0 => TRILL_VOICE_NONE,
        bits => bits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_of_processing_has_a_number_of_its_own_and_no_other_is_taken() {
        for bits in 1..=TRILL_VOICE_NONE {
            assert_eq!(number(voice_in(bits, "p").unwrap()), bits);
        }
        for wrong in [0, -1, 17, 32, i32::MIN, i32::MAX] {
            assert!(voice_in(wrong, "p").is_err(), "{wrong}");
        }
    }
}
