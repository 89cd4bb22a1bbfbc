using System.Runtime.InteropServices;

namespace Millrace.Kafka.Records;

/// <summary>The functions of libzstd that are used, all of its stable interface.</summary>
internal sealed unsafe class ZstdLibrary
{
    private const int OutputTooSmallCode = 70; // ZSTD_error_dstSize_tooSmall
    private const ulong LargestContentSize = ulong.MaxValue - 2; // above it: ZSTD_CONTENTSIZE_ERROR and _UNKNOWN

    private readonly delegate* unmanaged<nuint, nuint> _compressBound;
    private readonly delegate* unmanaged<byte*, nuint, byte*, nuint, int, nuint> _compress;
    private readonly delegate* unmanaged<byte*, nuint, byte*, nuint, nuint> _decompress;
    private readonly delegate* unmanaged<byte*, nuint, nuint> _findFrameCompressedSize;
    private readonly delegate* unmanaged<byte*, nuint, ulong> _getFrameContentSize;
    private readonly delegate* unmanaged<nuint, uint> _isError;
    private readonly delegate* unmanaged<nuint, int> _getErrorCode;
    private readonly delegate* unmanaged<nuint, nint> _getErrorName;

    private ZstdLibrary(nint library)
    {
        _compressBound = (delegate* unmanaged<nuint, nuint>)NativeLibrary.GetExport(library, "ZSTD_compressBound");
        _compress = (delegate* unmanaged<byte*, nuint, byte*, nuint, int, nuint>)NativeLibrary.GetExport(library, "ZSTD_compress");
        _decompress = (delegate* unmanaged<byte*, nuint, byte*, nuint, nuint>)NativeLibrary.GetExport(library, "ZSTD_decompress");
        _findFrameCompressedSize =
            (delegate* unmanaged<byte*, nuint, nuint>)NativeLibrary.GetExport(library, "ZSTD_findFrameCompressedSize");
        _getFrameContentSize = (delegate* unmanaged<byte*, nuint, ulong>)NativeLibrary.GetExport(library, "ZSTD_getFrameContentSize");
        _isError = (delegate* unmanaged<nuint, uint>)NativeLibrary.GetExport(library, "ZSTD_isError");
        _getErrorCode = (delegate* unmanaged<nuint, int>)NativeLibrary.GetExport(library, "ZSTD_getErrorCode");
        _getErrorName = (delegate* unmanaged<nuint, nint>)NativeLibrary.GetExport(library, "ZSTD_getErrorName");
    }

    public static ZstdLibrary Load() => Load(["libzstd.so.1", "libzstd.1.dylib", "libzstd.dll"]);

    /// <summary>Takes the first of the names that the system can load.</summary>
    /// <exception cref="CodecUnavailableException">It can load none.</exception>
    public static ZstdLibrary Load(IReadOnlyList<string> names)
    {
        foreach (string name in names)
        {
            if (NativeLibrary.TryLoad(name, out nint library))
            {
                return new ZstdLibrary(library);
            }
        }

        throw new CodecUnavailableException(
            $"Compression zstd needs the system's libzstd, and none of {string.Join(", ", names)} could be loaded. Install it (Debian: apt-get install libzstd1), or use another codec.");
    }

    public nuint CompressBound(nuint sourceSize) => _compressBound(sourceSize);

    public nuint Compress(byte* target, nuint targetCapacity, byte* source, nuint sourceSize, int level) =>
        _compress(target, targetCapacity, source, sourceSize, level);

    public nuint Decompress(byte* target, nuint targetCapacity, byte* source, nuint sourceSize) =>
        _decompress(target, targetCapacity, source, sourceSize);

    public nuint FindFrameCompressedSize(byte* source, nuint sourceSize) => _findFrameCompressedSize(source, sourceSize);

    /// <summary>The decoded size that a frame claims; null when it does not.</summary>
    public ulong? FrameContentSize(byte* source, nuint sourceSize)
    {
        ulong size = _getFrameContentSize(source, sourceSize);
        return size < LargestContentSize ? size : null;
    }

    public bool IsError(nuint result) => _isError(result) != 0;

    public bool IsOutputTooSmall(nuint result) => _getErrorCode(result) == OutputTooSmallCode;

    public string ErrorName(nuint result) => Marshal.PtrToStringUTF8(_getErrorName(result)) ?? "unknown error";
}
