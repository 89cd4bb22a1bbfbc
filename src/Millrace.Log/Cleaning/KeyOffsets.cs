using System.Buffers.Binary;
using System.Security.Cryptography;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// The offset of the newest record of each key, in memory of a fixed size. Of a key it has 128 bits of a cryptographic hash: two keys that
/// share them would be taken for one, and nobody can find such two.
/// </summary>
internal sealed class KeyOffsets
{
    public const int EntryByteCount = 24;

    private const int MinimumSlotCount = 16;

    private readonly Entry[] _entries;

    /// <param name="wantedKeyCount">As many as there can be.</param>
    /// <param name="maximumByteCount">The memory is not larger, even if not all keys have room then.</param>
    public KeyOffsets(long wantedKeyCount, long maximumByteCount, double loadFactor)
    {
        long wanted = (long)Math.Min(wantedKeyCount / loadFactor, Array.MaxLength) + MinimumSlotCount;
        _entries = new Entry[Math.Max(Math.Min(wanted, Math.Min(maximumByteCount / EntryByteCount, Array.MaxLength)), MinimumSlotCount)];
        Capacity = (int)(_entries.Length * Math.Min(loadFactor, 0.95));
    }

    public int Count { get; private set; }

    /// <summary>The most keys that it takes.</summary>
    public int Capacity { get; }

    /// <summary>Takes note of a record. Later records of a key come after earlier ones.</summary>
    public void Put(ReadOnlySpan<byte> key, Offset offset)
    {
        ref Entry entry = ref Find(key);
        if (entry.OffsetAndOne == 0)
        {
            Invariant.Holds(Count < Capacity, "no more keys are put in than there is room for");
            Count++;
        }

        entry.OffsetAndOne = offset.Value + 1;
    }

    /// <summary>The offset of the newest record with this key; null if there is none.</summary>
    public Offset? NewestOf(ReadOnlySpan<byte> key)
    {
        long offsetAndOne = Find(key).OffsetAndOne;
        return offsetAndOne == 0 ? null : new Offset(offsetAndOne - 1);
    }

    /// <summary>The place of the key, or where it would be.</summary>
    private ref Entry Find(ReadOnlySpan<byte> key)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(key, hash);
        ulong high = BinaryPrimitives.ReadUInt64LittleEndian(hash);
        ulong low = BinaryPrimitives.ReadUInt64LittleEndian(hash[sizeof(ulong)..]);
        uint place = (uint)(high % (uint)_entries.Length);
        while (true)
        {
            ref Entry entry = ref _entries[place];
            if (entry.OffsetAndOne == 0)
            {
                (entry.High, entry.Low) = (high, low);
                return ref entry;
            }

            if (entry.High == high && entry.Low == low)
            {
                return ref entry;
            }

            place = place + 1 == (uint)_entries.Length ? 0 : place + 1;
        }
    }

    private struct Entry
    {
        public ulong High;
        public ulong Low;
        public long OffsetAndOne;
    }
}
