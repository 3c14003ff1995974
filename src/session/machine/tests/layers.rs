//! A camera that comes in several sizes.

use super::*;

#[test]
fn a_camera_is_announced_in_its_layers_and_one_of_a_single_size_as_high() {
    let announced = |layers: Vec<LocalLayer>| {
        let mut scene = Scene::new();
        scene.machine.publish(scene.now, LocalTrack { layers, ..camera() }).unwrap();
        scene.signal(Response::Join(join_answer(vec![])));
        let sent = scene.sent();
        let [Request::AddTrack(request)] = &sent[..] else { panic!() };
        let of = |layer: &proto::VideoLayer| (layer.quality(), layer.width, layer.height, layer.bitrate);
        let codecs: Vec<(String, usize)> =
            request.simulcast_codecs.iter().map(|codec| (codec.cid.clone(), codec.layers.len())).collect();
        (request.layers.iter().map(of).collect::<Vec<_>>(), codecs)
    };
    use proto::VideoQuality::{High, Low, Medium};
    let layers = camera().layers;
    let codec: Vec<(String, usize)> = vec![("cid-cam".into(), 3)];
    let all = vec![(Low, 320, 180, 375), (Medium, 640, 360, 750), (High, 1280, 720, 1500)];
    assert_eq!(announced(layers.clone()), (all, codec));
    let two = vec![(Low, 640, 360, 750), (Medium, 1280, 720, 1500)];
    assert_eq!(announced(layers[1..].to_vec()).0, two, "as LiveKit's clients do");
    assert_eq!(announced(vec![]), (vec![(High, 1280, 720, 1500)], vec![]));
}

#[test]
#[allow(deprecated, reason = "servers that know of one codec alone")]
fn what_the_server_says_that_anybody_wants_is_passed_on_and_forgotten_with_the_presence() {
    let mut scene = Scene::new();
    scene.machine.publish(scene.now, camera()).unwrap();
    scene.signal(Response::Join(join_answer(vec![])));
    let wanted = |scene: &mut Scene| -> Vec<[bool; 3]> {
        let outputs = std::mem::take(&mut scene.outputs);
        let wanted = |output| if let Output::SetWanted { wanted, .. } = output { Some(wanted) } else { None };
        outputs.into_iter().filter_map(wanted).collect()
    };
    assert_eq!(wanted(&mut scene), [[true; 3]]);
    let track = proto::TrackInfo { sid: "TR_cam".into(), r#type: proto::TrackType::Video as i32, ..Default::default() };
    let published = proto::TrackPublishedResponse { cid: "cid-cam".into(), track: Some(track) };
    scene.signal(Response::TrackPublished(published));
    let quality = |quality, enabled| proto::SubscribedQuality { quality, enabled };
    let codec = |codec: &str, qualities| proto::SubscribedCodec { codec: codec.into(), qualities };
    let update = |sid: &str, qualities, codecs| {
        Response::SubscribedQualityUpdate(proto::SubscribedQualityUpdate {
            track_sid: sid.into(),
            subscribed_qualities: qualities,
            subscribed_codecs: codecs,
        })
    };
    let low = || vec![quality(0, true), quality(1, false), quality(2, false)];
    scene.signal(update("TR_other", low(), vec![]));
    scene.signal(update("TR_cam", vec![], vec![codec("av1", low())]));
    assert_eq!(wanted(&mut scene), [[true; 3]; 0], "another's, another codec's");
    scene.signal(update("TR_cam", vec![], vec![codec("av1", vec![]), codec("video/VP8", low())]));
    scene.signal(update("TR_cam", vec![quality(2, true), quality(7, true), quality(-1, true)], vec![]));
    scene.signal(update("TR_cam", vec![quality(3, false)], vec![]));
    assert_eq!(wanted(&mut scene), [[true, false, false], [false, false, true], [false; 3]]);
}
