using System.Text;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>A file or a directory of a simulated disk: what the running machine sees of it, and what is on the disk.</summary>
internal abstract class SimulatedNode
{
    public abstract SimulatedNode AfterPowerLoss(Random random);

    /// <summary>Mixes what is seen into a hash.</summary>
    public abstract void MixInto(Action<ulong> mix);
}

internal sealed class SimulatedDirectory : SimulatedNode
{
    private readonly SortedDictionary<string, SimulatedNode> _seen = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, SimulatedNode> _onDisk = new(StringComparer.Ordinal);

    // In the order in which they were made.
    private readonly List<Change> _unsynced = [];

    public bool IsEmpty => _seen.Count == 0;

    public SimulatedNode? Find(string name) => _seen.GetValueOrDefault(name);

    public void Set(string name, SimulatedNode node) => Apply(new Change(Removed: null, name, node));

    public void Remove(string name) => Apply(new Change(name, Added: null, Node: null));

    public void Rename(string from, string to, SimulatedNode node) => Apply(new Change(from, to, node));

    public IReadOnlyList<StorageEntry> List() =>
        [.. _seen.Select(static entry => new StorageEntry(entry.Key, entry.Value is SimulatedDirectory, (entry.Value as SimulatedFile)?.Length ?? 0))];

    public void Sync()
    {
        foreach (Change change in _unsynced)
        {
            change.ApplyTo(_onDisk);
        }

        _unsynced.Clear();
    }

    public override SimulatedDirectory AfterPowerLoss(Random random)
    {
        // Any of the changes may have reached the disk, but a rename as a whole.
        foreach (Change change in _unsynced)
        {
            if (random.Next(2) == 0)
            {
                change.ApplyTo(_onDisk);
            }
        }

        var directory = new SimulatedDirectory();
        foreach ((string name, SimulatedNode node) in _onDisk)
        {
            SimulatedNode survivor = node.AfterPowerLoss(random);
            directory._seen.Add(name, survivor);
            directory._onDisk.Add(name, survivor);
        }

        return directory;
    }

    public override void MixInto(Action<ulong> mix)
    {
        foreach ((string name, SimulatedNode node) in _seen)
        {
            mix(Crc32C.Compute(Encoding.UTF8.GetBytes(name)));
            node.MixInto(mix);
        }
    }

    private void Apply(Change change)
    {
        change.ApplyTo(_seen);
        _unsynced.Add(change);
    }

    private sealed record Change(string? Removed, string? Added, SimulatedNode? Node)
    {
        public void ApplyTo(SortedDictionary<string, SimulatedNode> entries)
        {
            if (Removed is not null)
            {
                entries.Remove(Removed);
            }

            if (Added is not null)
            {
                entries[Added] = Node!;
            }
        }
    }
}

/// <summary>A file: the page cache in front of the disk.</summary>
internal sealed class SimulatedFile : SimulatedNode
{
    /// <summary>Small, so that small files have pages enough to lose.</summary>
    private const int PageByteCount = 512;

    private readonly SortedSet<int> _dirtyPages = [];
    private byte[] _seen = [];
    private byte[] _onDisk = [];
    private int _length;
    private int _lengthOnDisk;
    private bool _isLengthDirty;

    public long Length => _length;

    public int Read(Span<byte> buffer, long position)
    {
        int count = (int)Math.Clamp(_length - position, 0, buffer.Length);
        _seen.AsSpan((int)Math.Min(position, _length), count).CopyTo(buffer);
        return count;
    }

    public void Write(ReadOnlySpan<byte> bytes, long position)
    {
        if (bytes.IsEmpty)
        {
            return;
        }

        int start = (int)position;
        int end = start + bytes.Length;
        Grow(ref _seen, end);
        bytes.CopyTo(_seen.AsSpan(start));
        _length = Math.Max(_length, end);
        _isLengthDirty |= _length != _lengthOnDisk;
        for (int page = start / PageByteCount; page <= (end - 1) / PageByteCount; page++)
        {
            _dirtyPages.Add(page);
        }
    }

    public void SetLength(long length)
    {
        int newLength = (int)length;
        if (newLength < _length)
        {
            // What lies beyond the end reads as zeros if the file grows again.
            _seen.AsSpan(newLength, _length - newLength).Clear();
        }

        int firstChanged = Math.Min(newLength, _length) / PageByteCount;
        int lastChanged = Math.Max(newLength, _length) / PageByteCount;
        Grow(ref _seen, newLength);
        _length = newLength;
        _isLengthDirty = true;
        for (int page = firstChanged; page <= lastChanged; page++)
        {
            _dirtyPages.Add(page);
        }
    }

    public void Sync()
    {
        // Dirty pages only: one that is taken for clean stays as it is on the disk, even if that is not what is seen.
        int length = _isLengthDirty ? _length : _lengthOnDisk;
        if (_onDisk.Length < length)
        {
            Array.Resize(ref _onDisk, length);
        }

        _onDisk.AsSpan(Math.Min(length, _lengthOnDisk)).Clear();
        foreach (int page in _dirtyPages)
        {
            int start = page * PageByteCount;
            int end = Math.Min(start + PageByteCount, Math.Min(length, _length));
            if (end > start)
            {
                _seen.AsSpan(start, end - start).CopyTo(_onDisk.AsSpan(start));
            }
        }

        _lengthOnDisk = length;
        ForgetDirtyPages();
    }

    /// <summary>What a failed sync does: the pages are taken for clean, and the disk does not have them.</summary>
    public void ForgetDirtyPages()
    {
        _dirtyPages.Clear();
        _isLengthDirty = false;
    }

    /// <summary>The cache forgets what is not due to be written: from here on everybody sees what is on the disk there.</summary>
    public void DropCleanPages()
    {
        for (int page = 0; page * PageByteCount < _length; page++)
        {
            if (!_dirtyPages.Contains(page))
            {
                int start = page * PageByteCount;
                int end = Math.Min(start + PageByteCount, _length);
                Span<byte> seen = _seen.AsSpan(start, end - start);
                seen.Clear();
                if (start < _lengthOnDisk)
                {
                    _onDisk.AsSpan(start, Math.Min(end, _lengthOnDisk) - start).CopyTo(seen);
                }
            }
        }
    }

    public void FlipBit(long position)
    {
        _seen[position] ^= 1;
        if (position < _onDisk.Length)
        {
            _onDisk[position] ^= 1;
        }
    }

    public override SimulatedFile AfterPowerLoss(Random random)
    {
        int length = _isLengthDirty ? SurvivingLength(random) : _lengthOnDisk;
        byte[] bytes = new byte[length];
        _onDisk.AsSpan(0, Math.Min(length, _lengthOnDisk)).CopyTo(bytes);

        // One chance for all pages of the file, so that all and none of them are as likely as some.
        int chance = random.Next(5) * 25;
        foreach (int page in _dirtyPages)
        {
            if (random.Next(100) < chance)
            {
                int start = page * PageByteCount;
                int count = random.Next(8) == 0 ? random.Next(PageByteCount) : PageByteCount;
                int end = Math.Min(start + count, Math.Min(length, _length));
                if (end > start)
                {
                    _seen.AsSpan(start, end - start).CopyTo(bytes.AsSpan(start));
                }
            }
        }

        return new SimulatedFile { _seen = bytes, _onDisk = (byte[])bytes.Clone(), _length = length, _lengthOnDisk = length };
    }

    public override void MixInto(Action<ulong> mix)
    {
        mix((ulong)_length);
        mix(Crc32C.Compute(_seen.AsSpan(0, _length)));
    }

    private int SurvivingLength(Random random) => random.Next(4) switch
    {
        0 => _lengthOnDisk,
        1 => random.Next(Math.Min(_length, _lengthOnDisk), Math.Max(_length, _lengthOnDisk) + 1),
        _ => _length,
    };

    private static void Grow(ref byte[] bytes, int length)
    {
        if (bytes.Length < length)
        {
            Array.Resize(ref bytes, Math.Max(length, bytes.Length * 2));
        }
    }
}
