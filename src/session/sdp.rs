//! Reads which tracks a subscriber offer carries. The server names them in `a=msid` (RFC 8830): stream id
//! `PA_x|<stream>`, track id `TR_x`. The peer connection itself tells of a track only at its first packet, and never of
//! its end, so the offers are where subscriptions are read from.

use crate::base::TrackId;

/// More than any room we could play; an offer beyond it is cut short.
const MAX_TRACKS: usize = 512;

/// The ids of the tracks that an offer sends.
pub(super) fn offered_tracks(sdp: &str) -> Vec<TrackId> {
    let mut tracks = Vec::new();
    for section in sections(sdp) {
        if tracks.len() == MAX_TRACKS {
            break;
        }
        if let Some(track) = section.track()
            && !tracks.contains(&track)
        {
            tracks.push(track);
        }
    }
    tracks
}

#[derive(Default)]
struct Section<'a> {
    media: bool,
    sends: bool,
    msid: Option<&'a str>,
}

impl Section<'_> {
    fn track(&self) -> Option<TrackId> {
        if !self.media || !self.sends {
            return None;
        }
        TrackId::new(self.msid?.split_ascii_whitespace().nth(1)?).ok()
    }
}

fn sections(sdp: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for line in sdp.lines().map(str::trim_end) {
        if let Some(media) = line.strip_prefix("m=") {
            let mut fields = media.split_ascii_whitespace();
            let kind = fields.next().unwrap_or_default();
            let rejected = fields.next() == Some("0");
            let media = matches!(kind, "audio" | "video");
            // Without a direction attribute a section is sendrecv (RFC 8866 section 6.7).
            sections.push(Section { media: media && !rejected, sends: true, msid: None });
        } else if let (Some(section), Some(attribute)) = (sections.last_mut(), line.strip_prefix("a=")) {
            match attribute {
                "inactive" | "recvonly" => section.sends = false,
                _ => {
                    if let Some(msid) = attribute.strip_prefix("msid:") {
                        section.msid = Some(msid);
                    }
                }
            }
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sections_that_send_media_count_as_tracks() {
        let sdp = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\na=msid-semantic:WMS *\r\n\
            m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\n\
            m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\na=sendonly\r\na=msid:PA_1|mic TR_a\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=inactive\r\na=msid:PA_1|cam TR_b\r\n\
            m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:3\r\na=sendonly\r\na=msid:PA_1|cam TR_c\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:4\r\na=msid:PA_2|cam TR_d\r\n";
        let tracks: Vec<String> = offered_tracks(sdp).into_iter().map(String::from).collect();
        assert_eq!(tracks, ["TR_a", "TR_d"]);
    }

    #[test]
    fn any_text_is_read_without_harm() {
        assert!(offered_tracks("").is_empty());
        assert!(offered_tracks("a=msid:x\nm=\nm=audio\na=msid:\na=msid:only").is_empty());
    }
}
