package dev.trill

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.ShortBuffer
import kotlin.time.Duration
import kotlin.time.Duration.Companion.microseconds

/**
 * One I420 picture: 8-bit planes Y, U, V, in direct buffers; U and V have half the width and height, rounded up. A plane
 * begins at its buffer's position.
 *
 * One that [MediaCallbacks.video] gets is the library's own memory, lent until the callback returns: [copy] it to keep it.
 */
class VideoFrame(
    /** In pixels, 1 to 8192. */
    val width: Int,
    val height: Int,
    val y: ByteBuffer,
    val u: ByteBuffer,
    val v: ByteBuffer,
    /** Bytes from one row of Y to the next, at least [width]. */
    val strideY: Int = width,
    /** Bytes from one row of U to the next, at least half of [width], rounded up. */
    val strideU: Int = (width + 1) / 2,
    val strideV: Int = strideU,
    /** How to turn it before it is shown, clockwise: 0, 90, 180 or 270. */
    val rotation: Int = 0,
    /** On the track's own clock; grows from one picture to the next. */
    val timestamp: Duration = 0.microseconds,
) {
    init {
        require(width in 1..MAX_SIDE && height in 1..MAX_SIDE) { "a picture of $width x $height: each must be 1 to $MAX_SIDE" }
        val (halfWidth, halfHeight) = (width + 1) / 2 to (height + 1) / 2
        requirePlane("y", y, strideY, width, height)
        requirePlane("u", u, strideU, halfWidth, halfHeight)
        requirePlane("v", v, strideV, halfWidth, halfHeight)
    }

    /** The same picture in memory of its own. */
    fun copy(): VideoFrame = VideoFrame(
        width, height, copyOf(y), copyOf(u), copyOf(v), strideY, strideU, strideV, rotation, timestamp,
    )

    companion object {
        private const val MAX_SIDE = 8192

        /** A black picture, to be painted and pushed. */
        fun allocate(width: Int, height: Int, timestamp: Duration = 0.microseconds): VideoFrame {
            val (luma, chroma) = width * height to ((width + 1) / 2) * ((height + 1) / 2)
            val (u, v) = List(2) { ByteBuffer.allocateDirect(chroma) }
            for (plane in listOf(u, v)) for (i in 0 until chroma) plane.put(i, 128.toByte())
            return VideoFrame(width, height, ByteBuffer.allocateDirect(luma), u, v, timestamp = timestamp)
        }

        /** The last row may end with the picture. */
        internal fun planeSize(stride: Int, width: Int, height: Int): Long = stride.toLong() * (height - 1) + width

        private fun requirePlane(name: String, plane: ByteBuffer, stride: Int, width: Int, height: Int) {
            require(plane.isDirect) { "plane $name is not a direct buffer: use ByteBuffer.allocateDirect" }
            require(stride >= width) { "the stride of plane $name is $stride, less than its width $width" }
            val size = planeSize(stride, width, height)
            require(plane.remaining() >= size) { "plane $name has ${plane.remaining()} bytes, and needs $size" }
        }

        private fun copyOf(plane: ByteBuffer): ByteBuffer =
            ByteBuffer.allocateDirect(plane.remaining()).order(plane.order()).put(plane.duplicate()).flip()
    }
}

/**
 * Audio: interleaved signed 16-bit samples, in a direct buffer. It is the library's own memory, lent until the callback
 * returns: [copy] it to keep it.
 */
class AudioFrame internal constructor(
    val samples: ShortBuffer,
    /** In Hz. */
    val sampleRate: Int,
    val channels: Int,
    /** Since the first frame. */
    val timestamp: Duration,
) {
    fun copy(): AudioFrame {
        val bytes = ByteBuffer.allocateDirect(samples.remaining() * Short.SIZE_BYTES).order(ByteOrder.nativeOrder())
        return AudioFrame(bytes.asShortBuffer().put(samples.duplicate()).flip(), sampleRate, channels, timestamp)
    }
}

/**
 * Functions for decoded media. They run on media threads of the library, several at the same time, and must not block:
 * paint, measure or copy the frame, and return. What is null costs nothing.
 */
class MediaCallbacks(
    /** Each decoded picture of a participant's track: the identity, the track's id and the picture. */
    val video: ((identity: String, trackId: String, frame: VideoFrame) -> Unit)? = null,
    /** The mix of all the others, 20 ms at a time. */
    val audio: ((frame: AudioFrame) -> Unit)? = null,
    /** What one participant says, alone, 20 ms at a time. */
    val participantAudio: ((identity: String, frame: AudioFrame) -> Unit)? = null,
)
