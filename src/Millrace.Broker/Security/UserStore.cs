using System.Text;
using Microsoft.Extensions.Logging;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>
/// The users as the file has them now. It is read at each login, and understood anew when it has changed: who is added can log in at once, and who is removed cannot any
/// more. While it cannot be read, what was there before counts.
/// </summary>
internal sealed class UserStore
{
    private readonly IStorage _storage;
    private readonly string _path;
    private readonly ILogger _logger;
    private readonly Lock _gate = new();
    private byte[] _bytes;
    private UserFile _users;

    /// <exception cref="BrokerStartException">The file cannot be read.</exception>
    public UserStore(IStorage storage, string path, ILogger logger)
    {
        _storage = storage;
        _path = path;
        _logger = logger;
        try
        {
            _bytes = UserFile.ReadBytes(storage, path);
            _users = UserFile.TryParse(Encoding.UTF8.GetString(_bytes), out UserFile? users, out string? error)
                ? users
                : throw new IOException($"{path}: {error}.");
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new BrokerStartException(
                BrokerStartFailure.InvalidOptions, $"The users file cannot be read: {failure.Message} Make one with 'millrace user add NAME --users FILE'.", failure);
        }
    }

    public UserFile Current
    {
        get
        {
            lock (_gate)
            {
                try
                {
                    byte[] bytes = UserFile.ReadBytes(_storage, _path);
                    if (!bytes.AsSpan().SequenceEqual(_bytes))
                    {
                        TakeOver(bytes);
                    }
                }
                catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
                {
                    LogMessages.UsersNotRead(_logger, _path, failure.Message);
                }

                return _users;
            }
        }
    }

    private void TakeOver(byte[] bytes)
    {
        // Remembered also where it is wrong, so that it is said once.
        _bytes = bytes;
        if (UserFile.TryParse(Encoding.UTF8.GetString(bytes), out UserFile? users, out string? error))
        {
            _users = users;
        }
        else
        {
            LogMessages.UsersNotRead(_logger, _path, error);
        }
    }
}
