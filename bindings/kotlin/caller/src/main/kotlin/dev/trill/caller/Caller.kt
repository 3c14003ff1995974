package dev.trill.caller

import dev.trill.AudioSource
import dev.trill.Engine
import dev.trill.Playback
import dev.trill.SessionSettings
import dev.trill.TrillException
import dev.trill.VideoSource
import java.nio.file.Path
import kotlin.concurrent.thread
import kotlin.system.exitProcess
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking

private const val USAGE =
    "usage: trill-caller SERVER TOKEN [--wav FILE] [--y4m FILE] [--heard FILE.wav] [--devices]"

/**
 * A telephone in a terminal. It logs in, calls and is called, and shows levels and statistics while people talk.
 *
 * Commands, one a line: call USER, video USER, group GROUP, accept, reject, busy, cancel, mute, unmute, h (hang up), log,
 * s (statistics), quit. All of the telephone runs in one event loop, the one of runBlocking.
 */
fun main(args: Array<String>) {
    if (args.size < 2) giveUp(USAGE)
    val settings = settings(args.drop(2))
    runBlocking {
        Engine().use { engine ->
            val phone = Phone(engine, settings)
            val events = launch(start = CoroutineStart.UNDISPATCHED) { engine.events.collect(phone::show) }
            try {
                println("logged in as ${engine.login(args[0], args[1]).uid}")
                for (line in linesOfInput()) {
                    if (line == "quit") break
                    phone.obey(line)
                }
            } catch (failure: TrillException) {
                println("! no login: ${failure.message}")
            }
            events.cancel()
        }
    }
}

private fun settings(options: List<String>): SessionSettings {
    // A test picture of a size that a library built without optimisation draws, and sends in several sizes to a group.
    var settings = SessionSettings(
        audio = AudioSource.Tone(), video = VideoSource.TestPicture, videoWidth = 640, videoHeight = 360,
    )
    val left = ArrayDeque(options)
    while (left.isNotEmpty()) {
        val option = left.removeFirst()
        fun file() = Path.of(left.removeFirstOrNull() ?: giveUp("$option: its file is missing"))
        settings = when (option) {
            "--wav" -> settings.copy(audio = AudioSource.File(file(), looped = true))
            "--y4m" -> settings.copy(video = VideoSource.File(file(), looped = true), videoWidth = 0, videoHeight = 0)
            "--heard" -> settings.copy(audioOutputFile = file())
            "--devices" -> settings.copy(
                audio = AudioSource.Microphone(), video = VideoSource.Camera(), playback = Playback.Speaker(),
                videoWidth = 0, videoHeight = 0,
            )
            else -> giveUp("$option: no such option")
        }
    }
    return settings
}

/** Blocking reads, on a thread that does not keep the program running. */
private fun linesOfInput(): Channel<String> {
    val lines = Channel<String>(Channel.UNLIMITED)
    thread(isDaemon = true, name = "input") {
        generateSequence(::readlnOrNull).map(String::trim).filter(String::isNotEmpty).forEach { lines.trySend(it) }
        lines.close()
    }
    return lines
}

private fun giveUp(why: String): Nothing {
    System.err.println(why)
    exitProcess(2)
}
