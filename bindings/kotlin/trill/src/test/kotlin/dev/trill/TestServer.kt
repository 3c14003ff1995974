package dev.trill

import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import java.nio.file.Files
import java.util.concurrent.TimeUnit

/** `trill serve --dev` on loopback, on ports of the system's choosing. */
class TestServer : AutoCloseable {
    private val folder = Files.createTempDirectory("trill")
    private val process: Process = ProcessBuilder(
        COMMAND, "serve", "--dev", "--json", "--http", "127.0.0.1:0", "--udp", "127.0.0.1:0",
        "--database", folder.resolve("calls.db").toString(),
    ).redirectError(ProcessBuilder.Redirect.DISCARD).start()

    val url: String

    init {
        val listening = process.inputStream.bufferedReader().readLine() ?: error("$COMMAND did not start")
        url = "http://" + checkNotNull(Regex("\"http\":\\s*\"([^\"]+)\"").find(listening)) { listening }.groupValues[1]
    }

    fun token(uid: String): String = mint("user", uid)

    /** Asks its owner's REST API for a change. */
    fun put(path: String, json: String) {
        val request = HttpRequest.newBuilder(URI.create("$url/v1/$path"))
            .header("Authorization", "Bearer ${mint("admin", "test")}").header("Content-Type", "application/json")
            .PUT(HttpRequest.BodyPublishers.ofString(json)).build()
        val response = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString())
        check(response.statusCode() in 200..299) { response.body() }
    }

    fun sessionToken(room: String, identity: String): String = mint("session", room, identity)

    override fun close() {
        process.destroyForcibly().waitFor(10, TimeUnit.SECONDS)
        folder.toFile().deleteRecursively()
    }

    private fun mint(vararg what: String): String =
        ProcessBuilder(COMMAND, "token", *what, "--dev").start().inputStream.bufferedReader().readText().trim()

    private companion object {
        val COMMAND: String = System.getProperty("trill.command")
    }
}
