using System.Diagnostics.CodeAnalysis;

namespace Millrace;

/// <summary>A record's key, compared by its bytes. An empty key is a key; a record without a key has no lane.</summary>
internal readonly struct LaneKey : IEquatable<LaneKey>
{
    private readonly ReadOnlyMemory<byte> _bytes;
    private readonly int _hash;

    public LaneKey(ReadOnlyMemory<byte> bytes)
    {
        _bytes = bytes;
        HashCode hash = default;
        hash.AddBytes(bytes.Span);
        _hash = hash.ToHashCode();
    }

    public bool Equals(LaneKey other) => _hash == other._hash && _bytes.Span.SequenceEqual(other._bytes.Span);

    public override bool Equals([NotNullWhen(true)] object? obj) => obj is LaneKey other && Equals(other);

    public override int GetHashCode() => _hash;
}
