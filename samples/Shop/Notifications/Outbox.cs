using System.Globalization;
using System.Text;

namespace Shop;

/// <summary>A folder of e-mails, one file each, for a mail program to pick up: a file that is there is whole.</summary>
internal sealed class Outbox
{
    private const string UnfinishedEnding = ".tmp";

    /// <summary>A file that is not finished by then belongs to a process that was killed, and not to another one that is writing it.</summary>
    private static readonly TimeSpan s_longestWrite = TimeSpan.FromMinutes(10);

    private readonly string _directory;

    public Outbox(ShopOptions options, TimeProvider time)
    {
        _directory = options.OutboxDirectory;
        Directory.CreateDirectory(_directory);
        DateTime latest = (time.GetUtcNow() - s_longestWrite).UtcDateTime;
        foreach (string unfinished in Directory.EnumerateFiles(_directory, "*" + UnfinishedEnding).Where(file => File.GetLastWriteTimeUtc(file) < latest))
        {
            File.Delete(unfinished);
        }
    }

    /// <summary>Writes an e-mail, or the same e-mail again.</summary>
    /// <returns>The name of its file, which follows from the message.</returns>
    public async Task<string> WriteAsync(
        string messageId, string orderId, string customer, string occasion, string text, CancellationToken cancellationToken)
    {
        string fileName = $"{orderId}-{occasion}-{messageId}.eml";
        string path = Path.Combine(_directory, fileName);
        // The same e-mail may be written by a process that has lost its order to another one and does not know it.
        string unfinished = string.Create(CultureInfo.InvariantCulture, $"{path}.{Environment.ProcessId}{UnfinishedEnding}");
        string mail = $"""
            From: shop@example.com
            To: {customer}
            Subject: Your order {orderId} is {occasion}
            Message-ID: <{messageId}@example.com>

            {text}

            """;
        await using (FileStream file = new(unfinished, FileMode.Create, FileAccess.Write, FileShare.None))
        {
            await file.WriteAsync(Encoding.UTF8.GetBytes(mail), cancellationToken);
            // On the disk before it has its name, so that no name leads to half an e-mail.
            file.Flush(flushToDisk: true);
        }

        File.Move(unfinished, path, overwrite: true);
        return fileName;
    }
}
