using Microsoft.Win32.SafeHandles;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// Whole batches where they lie in the file of a segment, for who sends them from there. It keeps the file open until it is disposed, whatever
/// becomes of the segment meanwhile.
/// </summary>
public sealed class LogPiece : IDisposable
{
    private FileUse? _use;

    internal LogPiece(FileUse use, long position, int byteCount, Offset nextOffset)
    {
        _use = use;
        Position = position;
        ByteCount = byteCount;
        NextOffset = nextOffset;
    }

    /// <summary>Where the first batch begins in the file.</summary>
    public long Position { get; }

    public int ByteCount { get; }

    /// <summary>The offset that follows the last batch.</summary>
    public Offset NextOffset { get; }

    /// <summary>The file as the operating system knows it.</summary>
    public SafeFileHandle Handle => File.Handle!;

    private IStorageFile File => _use?.File ?? throw new ObjectDisposedException(nameof(LogPiece));

    /// <summary>Copies bytes of the batches from one of them on; returns fewer than there is room for only at the end of the piece, or where the file ends.</summary>
    public int Read(int from, Span<byte> buffer) => File.Read(buffer[..Math.Min(buffer.Length, ByteCount - from)], Position + from);

    public void Dispose()
    {
        _use?.Dispose();
        _use = null;
    }
}
