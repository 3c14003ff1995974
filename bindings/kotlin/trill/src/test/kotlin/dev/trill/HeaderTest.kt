package dev.trill

import com.sun.jna.Structure
import dev.trill.internal.AttributeStruct
import dev.trill.internal.ABI_VERSION
import dev.trill.internal.AudioFrameStruct
import dev.trill.internal.AudioSourceKind
import dev.trill.internal.CallLogFilterStruct
import dev.trill.internal.CallLogPageStruct
import dev.trill.internal.CallOptionsStruct
import dev.trill.internal.CallPartyStruct
import dev.trill.internal.CallStruct
import dev.trill.internal.DataStruct
import dev.trill.internal.EngineCallbacksStruct
import dev.trill.internal.EngineConfigStruct
import dev.trill.internal.DeviceFormatStruct
import dev.trill.internal.DeviceFormatsStruct
import dev.trill.internal.DeviceStruct
import dev.trill.internal.DevicesStruct
import dev.trill.internal.ErrorStruct
import dev.trill.internal.EventKind
import dev.trill.internal.EventStruct
import dev.trill.internal.ParticipantStruct
import dev.trill.internal.ParticipantsStruct
import dev.trill.internal.PushedCallStruct
import dev.trill.internal.ReceivedTrackStruct
import dev.trill.internal.SentTrackStruct
import dev.trill.internal.SessionAccessStruct
import dev.trill.internal.SessionCallbacksStruct
import dev.trill.internal.SessionSettingsStruct
import dev.trill.internal.SpeakerStruct
import dev.trill.internal.StatisticsStruct
import dev.trill.internal.TrackStruct
import dev.trill.internal.TrillLibrary
import dev.trill.internal.UserStruct
import dev.trill.internal.VideoFrameStruct
import dev.trill.internal.VideoSourceKind
import dev.trill.internal.WakeStruct
import dev.trill.internal.toStruct
import java.nio.file.Files
import java.nio.file.Path
import kotlin.enums.EnumEntries
import kotlin.enums.enumEntries
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** The binding says what the header says. What the header got, and these tests miss, is to be added to the binding. */
class HeaderTest {
    private val header: String = Files.readString(Path.of(System.getProperty("trill.header")))

    /** Each number of the header's, by its name without TRILL_. */
    private val numbers: Map<String, Int> =
        Regex("#define TRILL_([A-Z_]+) \\(?(-?\\d+)\\)?\n").findAll(header)
            .associate { it.groupValues[1] to it.groupValues[2].toInt() }

    private val enums: Map<String, EnumEntries<*>> = mapOf(
        "CALL_TYPE" to enumEntries<CallType>(),
        "RECEIVER_TYPE" to enumEntries<ReceiverType>(),
        "CATEGORY" to enumEntries<Category>(),
        "CALL_STATUS" to enumEntries<CallStatus>(),
        "END_REASON" to enumEntries<EndReason>(),
        "PARTY_STATE" to enumEntries<PartyState>(),
        "REJECT" to enumEntries<RejectReason>(),
        "DIRECTION" to enumEntries<Direction>(),
        "TRACK_KIND" to enumEntries<TrackKind>(),
        "SOURCE" to enumEntries<Source>(),
        "QUALITY" to enumEntries<Quality>(),
        "SESSION_END" to enumEntries<SessionEnd>(),
        "LOG" to enumEntries<LogLevel>(),
        "EVENT" to enumEntries<EventKind>(),
        "AUDIO_SOURCE" to enumEntries<AudioSourceKind>(),
        "VIDEO_SOURCE" to enumEntries<VideoSourceKind>(),
        "PUSH_OUTCOME" to enumEntries<PushOutcome>(),
        "DEVICE_KIND" to enumEntries<DeviceKind>(),
        "DEVICE_STATE" to enumEntries<DeviceState>(),
        "DEVICE_POLICY" to enumEntries<DevicePolicy>(),
        "SIMULCAST" to enumEntries<Simulcast>(),
    )

    private val structs: List<Structure> = listOf(
        ErrorStruct(null), EngineConfigStruct(), EngineCallbacksStruct(), DataStruct(null), EventStruct(null),
        UserStruct(null), PushedCallStruct(null), WakeStruct(null), DeviceStruct(null), DevicesStruct(null),
        DeviceFormatStruct(null), DeviceFormatsStruct(null),
        CallOptionsStruct(), CallPartyStruct(null), CallStruct(null), SessionAccessStruct(null), SessionSettingsStruct(),
        SessionCallbacksStruct(), TrackStruct(null), ParticipantStruct(null), AttributeStruct(null),
        ParticipantsStruct(null), SpeakerStruct(null), VideoFrameStruct(), AudioFrameStruct(null), SentTrackStruct(null),
        ReceivedTrackStruct(null), StatisticsStruct(null), CallLogFilterStruct(), CallLogPageStruct(null),
    )

    @Test
    fun `each status has its number`() {
        val ours = Status.entries.minus(Status.UNRECOGNIZED).associate { "STATUS_${it.name}" to it.code }
        assertEquals(numbers.filterKeys { it.startsWith("STATUS_") } - "STATUS_OK", ours)
    }

    @Test
    fun `each enum has the numbers of the header`() {
        val ours = enums.flatMap { (prefix, entries) ->
            entries.filter { it.name != "UNRECOGNIZED" }.map { "${prefix}_${it.name}" to (it as Coded).code }
        }.toMap()
        val voice = VoiceProcessing.entries.associate { "VOICE_${it.name}" to it.flag } + ("VOICE_NONE" to VoiceProcessing.NONE)
        val theirs = numbers.filterKeys { !it.startsWith("STATUS_") } - "ABI_VERSION"
        assertEquals(theirs.toSortedMap(), (ours + voice).toSortedMap())
        assertEquals(numbers["ABI_VERSION"], ABI_VERSION)
    }

    @Test
    fun `each struct lies in memory as a C compiler lays it`(@TempDir folder: Path) {
        val ours = structs.flatMap { struct ->
            val name = struct.cName()
            struct.fields().map { "$name.${it.first} ${it.second}" } + "$name ${struct.size()}"
        }
        val asks = structs.flatMap { struct ->
            val name = struct.cName()
            members(name).map { """    printf("$name.$it %zu\n", offsetof($name, $it));""" } +
                """    printf("$name %zu\n", sizeof($name));"""
        }
        val source = folder.resolve("layout.c")
        val main = "#include <stdio.h>\n#include <trill.h>\nint main(void) {\n${asks.joinToString("\n")}\n    return 0;\n}\n"
        Files.writeString(source, main)
        val program = folder.resolve("layout").toString()
        val include = Path.of(System.getProperty("trill.header")).parent.toString()
        run("cc", "-I", include, source.toString(), "-o", program)
        assertEquals(run(program).trim(), ours.joinToString("\n"))
    }

    @Test
    fun `silence is left out only when the settings ask for it`() {
        val settings = listOf(SessionSettings(), SessionSettings(audioDtx = true))
        assertEquals(listOf(0, 1), settings.map { it.toStruct().audio_dtx })
    }

    @Test
    fun `each struct and each function of the header is there`() {
        val structsOfHeader = Regex("\nstruct (trill_\\w+) \\{").findAll(header).map { it.groupValues[1] }.toSet()
        assertEquals(structsOfHeader - "trill_call_listener", structs.map { it.cName() }.toSet())

        val functions = Regex("\n[a-z][^\n(=]*?[ *](trill_\\w+)\\(").findAll(header).map { it.groupValues[1] }
            .filter { !it.endsWith("_init") }.toSet()
        val ours = TrillLibrary::class.java.methods.map { it.name }.toSet()
        // Events come by callback, so that there is neither a queue to poll nor a listener for each kind of them. Status has
        // the names of statuses.
        val notNeeded = setOf(
            "trill_engine_next_event", "trill_event_free", "trill_call_listener_add", "trill_call_listener_remove",
            "trill_status_name",
        )
        assertEquals(functions - notNeeded, ours)
    }

    /** AudioFrameStruct is trill_audio_frame. */
    private fun Structure.cName(): String =
        "trill" + javaClass.simpleName.removeSuffix("Struct").replace(Regex("[A-Z]")) { "_" + it.value.lowercase() }

    private fun Structure.fields(): List<Pair<String, Int>> {
        val offset = Structure::class.java.getDeclaredMethod("fieldOffset", String::class.java).apply { isAccessible = true }
        val order = javaClass.getAnnotation(Structure.FieldOrder::class.java).value
        return order.map { it to offset.invoke(this, it) as Int }
    }

    /** The members' names as the header has them. */
    private fun members(struct: String): List<String> {
        val body = checkNotNull(Regex("\nstruct $struct \\{(.*?)\n};", RegexOption.DOT_MATCHES_ALL).find(header)) { struct }
        val code = body.groupValues[1].replace(Regex("/\\*.*?\\*/", RegexOption.DOT_MATCHES_ALL), "")
        return Regex("(\\w+);").findAll(code).map { it.groupValues[1] }.toList()
    }

    private fun run(vararg command: String): String {
        val process = ProcessBuilder(*command).redirectErrorStream(true).start()
        val output = process.inputStream.bufferedReader().readText()
        assertEquals(0, process.waitFor(), output)
        return output
    }
}
