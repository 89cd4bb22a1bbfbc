using System.Globalization;
using Microsoft.Extensions.Logging;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>
/// Gives out producer ids. None is given out twice in the life of a data directory: ids are reserved in blocks, and a block is on the disk before the first
/// of its ids leaves. What a crash leaves of a block is never used.
/// </summary>
/// <remarks>
/// The file <c>producer-ids</c> in the data directory, two lines of text: its version, and the first id that is not reserved.
/// <code>
/// 0
/// 3000
/// </code>
/// </remarks>
internal sealed class ProducerIds
{
    public const string FileName = "producer-ids";

    /// <summary>Kafka's size of a block: a restart wastes at most so many of 2^63 ids, and one id in so many waits for the disk.</summary>
    public const int BlockSize = 1000;

    private const string Version = "0";

    private readonly Lock _lock = new();
    private readonly IStorage _storage;
    private readonly string _directory;
    private readonly ILogger _logger;
    private long _next;
    private long _reservedEnd;

    private ProducerIds(IStorage storage, string directory, ILogger logger, long next)
    {
        _storage = storage;
        _directory = directory;
        _logger = logger;
        _next = next;
        _reservedEnd = next;
    }

    /// <exception cref="BrokerStartException">The file is there and says nothing sensible: to go on would be to guess which ids are taken.</exception>
    public static ProducerIds Open(IStorage storage, string directory, ILogger logger)
    {
        string? content;
        try
        {
            content = AtomicFile.TryRead(storage, directory, FileName);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new BrokerStartException(BrokerStartFailure.DataDirectory, $"{directory}/{FileName} cannot be read: {failure.Message}", failure);
        }

        return new ProducerIds(storage, directory, logger, content is null ? 0 : Parse(directory, content));
    }

    /// <summary>A new id; false if the disk does not take the reservation. Blocks for a sync once in a block.</summary>
    public bool TryTake(out long id)
    {
        lock (_lock)
        {
            if (_next == _reservedEnd && !TryReserve())
            {
                id = -1;
                return false;
            }

            id = _next++;
            return true;
        }
    }

    private bool TryReserve()
    {
        long end = _next + BlockSize;
        try
        {
            AtomicFile.Write(_storage, _directory, FileName, string.Create(CultureInfo.InvariantCulture, $"{Version}\n{end}\n"));
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            LogMessages.ProducerIdsNotReserved(_logger, failure, $"{_directory}/{FileName}");
            return false;
        }

        _reservedEnd = end;
        LogMessages.ProducerIdsReserved(_logger, _next, end - 1);
        return true;
    }

    private static long Parse(string directory, string content)
    {
        string[] lines = content.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        if (lines is not [Version, string number] || !long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out long next))
        {
            throw new BrokerStartException(
                BrokerStartFailure.DataDirectory,
                $"{directory}/{FileName} does not hold a version and a number. Restore it from a copy, or write the lines '{Version}' and a number above every producer id in use.");
        }

        return next;
    }
}
