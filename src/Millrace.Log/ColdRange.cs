using System.Buffers;

namespace Millrace.Log;

/// <summary>
/// Bytes of a segment that have to come from the disk before a read of them ends. It keeps the file open until it is disposed, whatever becomes of
/// the segment meanwhile.
/// </summary>
public sealed class ColdRange : IDisposable
{
    private const int StepByteCount = 256 * 1024;

    private readonly long _position;
    private readonly int _byteCount;
    private FileUse? _use;

    internal ColdRange(FileUse use, long position, int byteCount)
    {
        _use = use;
        _position = position;
        _byteCount = byteCount;
    }

    /// <summary>
    /// Reads it, so that it is in memory. Blocks for as long as the disk takes. An error of the disk ends it: the read that follows meets it again and
    /// tells.
    /// </summary>
    public void Load()
    {
        IStorageFile file = _use?.File ?? throw new ObjectDisposedException(nameof(ColdRange));
        byte[] buffer = ArrayPool<byte>.Shared.Rent(StepByteCount);
        try
        {
            int loaded = 0;
            int count;
            do
            {
                count = file.Read(buffer.AsSpan(0, Math.Min(buffer.Length, _byteCount - loaded)), _position + loaded);
                loaded += count;
            }
            while (count > 0 && loaded < _byteCount);
        }
        catch (IOException)
        {
            return;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    public void Dispose()
    {
        _use?.Dispose();
        _use = null;
    }
}
