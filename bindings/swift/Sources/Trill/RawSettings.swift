import CTrill

extension SessionSettings {
    /// The settings as C takes them.
    func withRaw<Result>(_ body: (UnsafePointer<trill_session_settings>) -> Result) -> Result {
        var raw = trill_session_settings_init()
        let (audioFile, microphone) = setAudio(&raw)
        let (videoFile, camera) = setVideo(&raw)
        var speaker: String?
        if case .speaker(let name) = playback {
            raw.play = 1
            speaker = name
        }
        raw.audio_only = audioOnly ? 1 : 0
        raw.start_audio_muted = startAudioMuted ? 1 : 0
        raw.start_video_paused = startVideoPaused ? 1 : 0
        raw.manual_subscribe = manualSubscribe ? 1 : 0
        raw.reconnect_timeout_ms = reconnectTimeout?.wholeMilliseconds ?? 0
        raw.left_alone_timeout_ms = leftAloneTimeout?.wholeMilliseconds ?? 0
        raw.device_policy = devicePolicy.rawValue
        raw.statistics_interval_ms = statisticsInterval?.wholeMilliseconds ?? 0
        return withText(audioFile) { audioFile in
            withText(videoFile) { videoFile in
                withText(audioOutputFile) { audioOutputFile in
                    withText(videoOutputFolder) { videoOutputFolder in
                        withText(microphone) { microphone in
                            withText(camera) { camera in
                                withText(speaker) { speaker in
                                    raw.audio_file = audioFile
                                    raw.video_file = videoFile
                                    raw.audio_output_file = audioOutputFile
                                    raw.video_output_folder = videoOutputFolder
                                    raw.microphone = microphone
                                    raw.camera = camera
                                    raw.speaker = speaker
                                    return body(&raw)
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    private func setAudio(_ raw: inout trill_session_settings) -> (file: String?, microphone: String?) {
        raw.audio_bitrate_bps = audioBitrate
        raw.audio_dtx = audioDTX ? 1 : 0
        raw.voice_processing = voiceProcessing?.flags ?? 0
        let kind: AudioSourceKind
        var (file, microphone): (String?, String?)
        switch audio {
        case .none:
            kind = .none
        case .tone(let hertz):
            kind = .tone
            raw.audio_tone_hz = hertz
        case .file(let path, let looped):
            kind = .file
            file = path
            raw.audio_looped = looped ? 1 : 0
        case .pushed(let sampleRate, let channels):
            kind = .pushed
            raw.audio_sample_rate = sampleRate
            raw.audio_channels = channels
        case .microphone(let name):
            kind = .microphone
            microphone = name
        }
        raw.audio_source = kind.rawValue
        return (file, microphone)
    }

    private func setVideo(_ raw: inout trill_session_settings) -> (file: String?, camera: String?) {
        raw.video_width = videoWidth
        raw.video_height = videoHeight
        raw.video_fps = videoFramesPerSecond
        raw.video_bitrate_bps = videoBitrate
        raw.simulcast = simulcast.rawValue
        let kind: VideoSourceKind
        var (file, camera): (String?, String?)
        switch video {
        case .none:
            kind = .none
        case .testPicture:
            kind = .testPicture
        case .file(let path, let looped):
            kind = .file
            file = path
            raw.video_looped = looped ? 1 : 0
        case .pushed:
            kind = .pushed
        case .camera(let name):
            kind = .camera
            camera = name
        }
        raw.video_source = kind.rawValue
        return (file, camera)
    }
}
